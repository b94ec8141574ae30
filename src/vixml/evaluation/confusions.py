"""Wrong first labels: which true label each one takes the place of, and whether a person would mind.

A wrong first label is compared with the query's true labels and counted under the one that it is closest to. It may be
nearly the same text ("arrow", "arrows"), or a label that training queries usually have together with the true one: both
say that the data, not the ranking, may be at fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

NEAR_TEXT = 0.7
"""Texts of at least this cosine, over parts of words, are nearly the same: "arrow" and "arrows" have 0.73."""
TOGETHER = 0.5
"""A label that at least this share of the true label's training queries have as well usually comes with it."""

_EXAMINED = 5_000  # wrong queries, spread evenly over all
_TRUE = 20  # true labels of a query that are compared


def confusions(
    top_labels: NDArray[np.integer],
    relevance: sp.csr_matrix,
    *,
    texts: Sequence[str],
    relevance_train: sp.csr_matrix,
    shown: int = 30,
) -> dict[str, Any]:
    """Count what wrong first labels are confused with.

    Args:
        top_labels: Predicted labels, best first, int [n, k]; -1 is padding.
        relevance: Ground truth, CSR [n, L].
        texts: Texts of the labels, L of them.
        relevance_train: Training relevance, CSR [N, L].
        shown: Most frequent pairs that are returned.

    Returns:
        `queries` (those with a first label and a true one), `wrong` (those whose first label is wrong), `examined`
        (wrong ones that are looked at), `near_text` and `together` (shares of these; one that is both counts as the
        former), and `pairs`, the most frequent first: `predicted` and `true` label, `count`, `similarity` of their
        texts, `together` (share of the true label's training queries that have the predicted one too; None without
        any), `excuse` (`near_text`, `together` or None: which of these shares it is in), `query` (one row).
    """
    first = np.asarray(top_labels[:, 0], dtype=np.int64)
    asked = np.flatnonzero((first >= 0) & (np.diff(relevance.indptr) > 0))
    right = np.asarray(relevance[asked, first[asked]] > 0).ravel()
    wrong = asked[~right]
    rows = wrong[np.unique(np.linspace(0, len(wrong) - 1, min(len(wrong), _EXAMINED)).astype(np.int64))]
    query, true = _true_labels(relevance, rows)
    similarity = _text_similarity(texts, first[query], true)
    together = _together(relevance_train, first[query], true)
    # The closest true label of each query comes first: by text, where that is nearly the same, then by company.
    near = np.where(similarity >= NEAR_TEXT, similarity, 0.0)
    order = np.lexsort((true, -similarity, -np.nan_to_num(together), -near, query))
    best = order[np.unique(query[order], return_index=True)[1]]
    pairs = Counter(zip(first[query[best]].tolist(), true[best].tolist(), strict=True))
    example: dict[tuple[int, int], int] = {}
    for at in best:
        example.setdefault((int(first[query[at]]), int(true[at])), int(at))
    same, company = similarity[best] >= NEAR_TEXT, np.nan_to_num(together[best]) >= TOGETHER
    return {
        "queries": len(asked),
        "wrong": len(wrong),
        "examined": len(best),
        "near_text": float(same.mean()) if len(best) else 0.0,
        "together": float((company & ~same).mean()) if len(best) else 0.0,
        "pairs": [
            {
                "predicted": predicted,
                "true": right,
                "count": count,
                "similarity": float(similarity[example[predicted, right]]),
                "together": None if np.isnan(share := together[example[predicted, right]]) else float(share),
                "excuse": _excuse(similarity[example[predicted, right]], share),
                "query": int(query[example[predicted, right]]),
            }
            for (predicted, right), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:shown]
        ],
    }


def _excuse(similarity: float, together: float) -> str | None:
    """Return why a person might call an answer right."""
    if similarity >= NEAR_TEXT:
        return "near_text"
    return "together" if together >= TOGETHER else None


def _true_labels(relevance: sp.csr_matrix, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return query and label of every true pair of the rows, the first ones of each row alone."""
    chosen = relevance[rows]
    place = np.arange(chosen.nnz) - np.repeat(chosen.indptr[:-1], np.diff(chosen.indptr))
    query = np.repeat(rows, np.diff(chosen.indptr))
    return query[place < _TRUE], chosen.indices[place < _TRUE].astype(np.int64)


def _text_similarity(texts: Sequence[str], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cosine of each pair of labels over parts of words [m], 0 where a text has none."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    used, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, use_idf=False)
    try:
        rows = parts.fit_transform([texts[label] for label in used])
    except ValueError:  # scikit-learn's way to say that there is no text at all
        return np.zeros(len(left))
    return np.asarray(rows[place[: len(left)]].multiply(rows[place[len(left) :]]).sum(axis=1)).ravel()


def _together(relevance: sp.csr_matrix, predicted: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each true label's training queries that have the predicted one too [m]; NaN without any."""
    holders = relevance.T.tocsr()
    pairs, place = np.unique(np.stack([predicted, true]), axis=1, return_inverse=True)
    shares = np.full(pairs.shape[1], np.nan)
    for at, (one, other) in enumerate(pairs.T):
        with_other = holders.indices[holders.indptr[other] : holders.indptr[other + 1]]
        if len(with_other):
            with_one = holders.indices[holders.indptr[one] : holders.indptr[one + 1]]
            shares[at] = len(np.intersect1d(with_one, with_other, assume_unique=True)) / len(with_other)
    return shares[place.ravel()]
