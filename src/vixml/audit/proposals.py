"""From probabilities of training pairs to proposals: pairs to add, and pairs to take out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.audit.unseen import UnseenScores
from vixml.calibration.fit import true_pairs

if TYPE_CHECKING:
    import pandas as pd

MISSING, WRONG = "missing", "wrong"
COLUMNS = ("proposal", "accept", "probability", "usual", "query_id", "label_id", "query_text", "label_text")


@dataclass(frozen=True)
class Pairs:
    """Proposed pairs, the strongest first.

    Args:
        rows: Rows of the queries among the training queries int64 [p].
        labels: Their labels int64 [p].
        probability: How likely each pair is by evidence that has not seen it float32 [p].
        usual: Mean probability of the label's other pairs float32 [p]; NaN for a missing pair.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probability: NDArray[np.float32]
    usual: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)


def missing_pairs(scores: UnseenScores, relevance: sp.csr_matrix, count: int) -> Pairs:
    """Return the likeliest pairs that are not labelled.

    Args:
        scores: Of the audited queries.
        relevance: Labels of all training queries, CSR [N, L].
        count: Pairs wanted.
    """
    candidate = ~_labelled(scores, relevance) & np.isfinite(scores.probabilities)
    query, place = np.nonzero(candidate)
    probability = scores.probabilities[query, place]
    best = np.argsort(-probability, kind="stable")[:count]
    query, place = query[best], place[best]
    none = np.full(len(best), np.nan, dtype=np.float32)
    return Pairs(scores.rows[query], scores.labels[query, place], probability[best], none)


def wrong_pairs(scores: UnseenScores, relevance: sp.csr_matrix, count: int, *, min_support: int) -> Pairs:
    """Return the labelled pairs that are far less likely than the other pairs of the same label.

    A rare label is never likely, so its own pairs are what a pair is compared with. A pair that is not among the best
    labels of its query has probability 0.

    Args:
        scores: Of the audited queries.
        relevance: Labels of all training queries, CSR [N, L].
        count: Pairs wanted.
        min_support: Other audited queries that the label needs.
    """
    own = sp.csr_matrix(relevance[scores.rows])
    query, labels = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr)), own.indices.astype(np.int64)
    at, place = np.nonzero(_labelled(scores, relevance))
    found = sp.csr_matrix((scores.probabilities[at, place], (at, scores.labels[at, place])), shape=own.shape)
    probability = np.asarray(found[query, labels], dtype=np.float32).ravel() if len(query) else np.zeros(0, np.float32)
    number = np.bincount(labels, minlength=own.shape[1])[labels] - 1
    total = np.bincount(labels, weights=probability, minlength=own.shape[1])[labels] - probability
    usual = (total / np.maximum(number, 1)).astype(np.float32)
    enough = np.flatnonzero(number >= min_support)
    best = enough[np.argsort(-(usual - probability)[enough], kind="stable")[:count]]
    return Pairs(scores.rows[query[best]], labels[best], probability[best], usual[best])


def proposal_table(missing: Pairs, wrong: Pairs, queries: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Return all proposals with ids and texts, and an empty column `accept` for a person to tick.

    Args:
        missing: Pairs to add.
        wrong: Pairs to take out.
        queries: Training queries, columns uid and text, N rows.
        labels: Labels, likewise, L rows.
    """
    import pandas as pd

    parts = []
    for kind, pairs in ((MISSING, missing), (WRONG, wrong)):
        query, label = queries.iloc[pairs.rows], labels.iloc[pairs.labels]
        parts.append(
            pd.DataFrame(
                {
                    "proposal": kind,
                    "accept": "",
                    "probability": pairs.probability.round(4),
                    "usual": pairs.usual.round(4),
                    "query_id": query["uid"].to_numpy(),
                    "label_id": label["uid"].to_numpy(),
                    "query_text": query["text"].to_numpy(),
                    "label_text": label["text"].to_numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _labelled(scores: UnseenScores, relevance: sp.csr_matrix) -> NDArray[np.bool_]:
    """Return which of the best labels [m, 100] the queries have."""
    return true_pairs(scores.labels, sp.csr_matrix(relevance[scores.rows]))
