"""Searching only some labels: an allow-list or a deny-list, exactly, whatever index the model has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.ranking.evidence import AmongLabels, EvidenceRanker
from vixml.retrieval.augmentation import Ranker
from vixml.retrieval.index import ExactIndex, SearchResult
from vixml.serving.bundle import PredictorBundle


@dataclass(frozen=True)
class RestrictedIndex(ExactIndex):
    """Some rows of the label vectors; searched exactly, answers in rows of the whole.

    Args:
        vectors: All label vectors [L, d]; may be a memory map.
        params: Block sizes.
        device: Where to compute.
        rows: The rows searched, increasing.
    """

    rows: NDArray[np.int64] = field(kw_only=True)

    def search(self, queries: NDArray[Any], k: int, *, exclude: sp.csr_matrix | None = None) -> SearchResult:
        """See `LabelIndex.search`."""
        gathered = ExactIndex(_Rows(self.vectors, self.rows), self.params, self.device)  # type: ignore[arg-type]
        scores, labels = gathered.search(queries, k, exclude=None if exclude is None else exclude[:, self.rows])
        return scores, np.where(labels >= 0, self.rows[labels], -1)

    def save(self, folder: Path) -> None:
        """Refuse: a restriction belongs to one prediction.

        Raises:
            DataError: Always.
        """
        raise DataError("a restricted index is not saved", file=folder)


class _Rows:
    """Some rows of a matrix, gathered block by block when they are read: no copy of the whole."""

    ndim = 2

    def __init__(self, vectors: NDArray[Any], rows: NDArray[np.int64]) -> None:
        self._vectors, self._rows = vectors, rows
        self.shape = (len(rows), vectors.shape[1])
        self.nbytes = len(rows) * vectors.shape[1] * vectors.itemsize

    def __getitem__(self, block: slice) -> NDArray[Any]:
        taken: NDArray[Any] = self._vectors[self._rows[block]]
        return taken

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[slice(None)], dtype=dtype)


def restrict(
    ranker: Ranker | EvidenceRanker, bundle: PredictorBundle, rows: NDArray[np.int64], *, device: str | None = None
) -> Ranker | AmongLabels:
    """Return a ranker of the same kind that knows only the labels in `rows` (increasing)."""
    params = ranker.labels.params
    if isinstance(ranker, EvidenceRanker):
        indexes = {
            name: ExactIndex(vectors[rows], params, device)
            for name, vectors in (("prototypes", bundle.label_prototypes), ("texts", bundle.label_texts))
        }
        return AmongLabels(replace(ranker, side=ranker.side.among(rows, **indexes)), rows)
    relevance = ranker.relevance
    if relevance is not None:
        keep = np.zeros(relevance.shape[1], dtype=bool)
        keep[rows] = True
        relevance = relevance.copy()
        relevance.data *= keep[relevance.indices]
        relevance.eliminate_zeros()
    return replace(
        ranker,
        labels=RestrictedIndex(bundle.label_prototypes, params, device, rows=rows),
        texts=None if ranker.texts is None else RestrictedIndex(bundle.label_texts, params, device, rows=rows),
        relevance=relevance,
    )


def exactly(
    ranker: Ranker | EvidenceRanker, bundle: PredictorBundle, *, device: str | None = None
) -> Ranker | EvidenceRanker:
    """Return a ranker of the same kind whose searches are exact."""
    params = ranker.labels.params
    if isinstance(ranker, EvidenceRanker):
        prototypes, texts = (
            ExactIndex(vectors, params, device) for vectors in (bundle.label_prototypes, bundle.label_texts)
        )
        return replace(ranker, side=replace(ranker.side, prototypes=prototypes, texts=texts))
    return replace(
        ranker,
        labels=ExactIndex(bundle.label_prototypes, params, device),
        texts=None if ranker.texts is None else ExactIndex(bundle.label_texts, params, device),
        queries=None if ranker.queries is None else ExactIndex(bundle.train_queries, params, device),
    )
