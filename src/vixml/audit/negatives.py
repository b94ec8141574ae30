"""How many mined negatives are probably labels that are missing: a model that learns them learns something wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.audit.unseen import UnseenScores
from vixml.metrics.groups import GROUPS, label_groups


def doubtful_negatives(
    mined: NDArray[np.integer],
    scores: UnseenScores,
    frequencies: NDArray[np.integer],
    *,
    min_probability: float,
) -> dict[str, Any]:
    """Return how many mined negatives of the audited queries are at least this likely, by head, torso and tail.

    Args:
        mined: Mined negative labels of all training queries [N, k]; -1 for none.
        scores: Of the audited queries.
        frequencies: Training queries of each label [L].
        min_probability: From this probability on a negative is doubtful.

    Returns:
        For `all` and each group: `negatives`, `doubtful`, and `share` (None without any negative).
    """
    labels = np.asarray(mined[scores.rows], dtype=np.int64)
    query, place = np.nonzero((scores.labels >= 0) & (scores.probabilities >= min_probability))
    likely = sp.csr_matrix(
        (np.ones(len(query), dtype=np.float32), (query, scores.labels[query, place])),
        shape=(len(labels), len(frequencies)),
    )
    at, which = np.nonzero(labels >= 0)
    negatives = labels[at, which]
    doubtful = np.asarray(likely[at, negatives]).ravel() > 0 if len(at) else np.zeros(0, dtype=bool)
    group = label_groups(frequencies)[negatives]
    masks = {"all": np.ones(len(group), dtype=bool), **{name: group == one for one, name in enumerate(GROUPS)}}
    return {name: _counts(doubtful[mask]) for name, mask in masks.items()}


def _counts(doubtful: NDArray[np.bool_]) -> dict[str, Any]:
    number = len(doubtful)
    return {
        "negatives": number,
        "doubtful": int(doubtful.sum()),
        "share": float(doubtful.mean()) if number else None,
    }
