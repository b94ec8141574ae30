"""Retrieval-augmented ranking: the labels of the nearest training queries beside the nearest labels.

A search returns similarities; a softmax turns them into mass; the mass of a training query goes to each of its labels.

- `split`: `depth` labels and `depth` training queries under ONE softmax (ViXML, section 7 of its supplement).
- `joint`: the best `2 * depth` of one search space of labels and training queries (RAE-XMC, ICLR 2025).

All of it is array and sparse-matrix arithmetic over blocks of queries; the dense score matrix never exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError, StateError
from vixml.core.guards.untrusted import open_array
from vixml.params.retrieval import AugmentationParams, RetrievalParams
from vixml.retrieval.index import ExactIndex, LabelIndex, SearchResult, open_index

TEXTS, QUERIES = "texts", "queries"
"""Sub-folders of a label index that hold the further indexes of a blended ranking, where they are not exact."""
_CANDIDATES = 100  # labels that a prior can lift to the top
FILES = {TEXTS: "label_texts.npy", QUERIES: "train_queries.npy"}
"""The vectors they are built over."""


@dataclass(frozen=True)
class Ranker:
    """Ranks labels by one search, or by a blend of several; has the same `search` as an index.

    Args:
        labels: Index over the label prototypes [L, d].
        params: The blend.
        texts: Index over the label texts [L, d]; for a ranking with all evidence.
        queries: Index over the training queries [N, d]; for every blend.
        relevance: Labels of the training queries, binary CSR [N, L]; for every blend.
        prior: Added to the scores of queries without an image, float32 [L]; for the plain ranking.
        block: Queries blended at once.
    """

    labels: LabelIndex
    params: AugmentationParams
    texts: LabelIndex | None = None
    queries: LabelIndex | None = None
    relevance: sp.csr_matrix | None = None
    prior: NDArray[np.float32] | None = None
    block: int = 1024

    @property
    def mode(self) -> str:
        """How labels are ranked."""
        return self.params.mode

    @property
    def size(self) -> int:
        """Number of labels."""
        return self.labels.size

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.labels.dim

    def search(
        self,
        queries: NDArray[Any],
        k: int,
        *,
        exclude: sp.csr_matrix | None = None,
        imageless: NDArray[np.bool_] | None = None,
    ) -> SearchResult:
        """Return scores float32 [n, k] and labels int64 [n, k], best first, padded with -inf and -1.

        Scores are inner products for the plain ranking (and the prior, where there is one, for the queries marked in
        `imageless` [n]), and mass (0 to 1 for `split` and `joint`) for a blend.
        """
        if self.params.mode == "none":
            if self.prior is None or imageless is None or not imageless.any():
                return self.labels.search(queries, k, exclude=exclude)
            return self._search_with_prior(queries, k, exclude, imageless, self.prior)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        labels = np.full((len(queries), k), -1, dtype=np.int64)
        for begin in range(0, len(queries), self.block):
            part = slice(begin, begin + self.block)
            mass = self.mass(queries[part], exclude=None if exclude is None else exclude[part])
            scores[part], labels[part] = sparse_top_k(mass, k)
        return scores, labels

    def _search_with_prior(
        self,
        queries: NDArray[Any],
        k: int,
        exclude: sp.csr_matrix | None,
        imageless: NDArray[np.bool_],
        prior: NDArray[np.float32],
    ) -> SearchResult:
        """Search as ever, and deep enough where there is no image: there the best labels are scored again.

        How many those are does not depend on `k`, nor what a query with an image gets on the others. A prior is not
        negative: what stands behind the best labels has no score above theirs.
        """
        scores = np.empty((len(queries), k), dtype=np.float32)
        labels = np.empty((len(queries), k), dtype=np.int64)
        for rows, depth in ((np.flatnonzero(~imageless), k), (np.flatnonzero(imageless), max(k, _CANDIDATES))):
            if not len(rows):
                continue
            score, label = self.labels.search(queries[rows], depth, exclude=None if exclude is None else exclude[rows])
            if imageless[rows[0]]:
                again = score[:, :_CANDIDATES] + prior[label[:, :_CANDIDATES]]
                order = np.argsort(-again, axis=1, kind="stable")
                score[:, :_CANDIDATES] = np.take_along_axis(again, order, axis=1)
                label[:, :_CANDIDATES] = np.take_along_axis(label[:, :_CANDIDATES], order, axis=1)
            scores[rows], labels[rows] = score[:, :k], label[:, :k]
        return scores, labels

    def mass(self, queries: NDArray[Any], *, exclude: sp.csr_matrix | None = None) -> sp.csr_matrix:
        """Return the blended scores of one block of queries, CSR [n, L]; labels that no search found are absent."""
        params = self.params
        depth = params.depth * (2 if params.mode == "joint" else 1)
        label_score, label = self.labels.search(queries, depth, exclude=exclude)
        query_score, query = self._queries.search(queries, depth)
        score = np.concatenate([label_score, query_score], axis=1)
        if params.mode == "joint":
            worst = np.argsort(-score, axis=1, kind="stable")[:, depth:]
            np.put_along_axis(score, worst, -np.inf, axis=1)
        probability = softmax(score, params.temperature)
        by_label = to_csr(probability[:, :depth], label, self.size)
        by_query = to_csr(probability[:, depth:], query, self._queries.size) @ self._relevance
        weight = params.query_weight
        return without_pairs(sp.csr_matrix((1 - weight) * by_label + weight * by_query), exclude)

    def nearest_queries(self, queries: NDArray[Any], k: int) -> SearchResult:
        """Return similarities float32 [n, k] and rows int64 [n, k] of the nearest training queries."""
        return self._queries.search(queries, k)

    @property
    def _queries(self) -> LabelIndex:
        if self.queries is None:
            raise ConfigError(
                "this ranking needs the embeddings of the training queries",
                found=f"retrieval.augmentation.mode: {self.params.mode}",
                remedy="set retrieval.train_queries: true and run `evaluation` again, or use the mode none.",
            )
        return self.queries

    @property
    def _relevance(self) -> sp.csr_matrix:
        if self.relevance is None or self.relevance.shape != (self._queries.size, self.size):
            found = None if self.relevance is None else self.relevance.shape
            raise StateError(
                "the labels of the training queries do not fit their embeddings",
                found=found,
                expected=f"{self._queries.size} queries, {self.size} labels",
                remedy="run the variant's `evaluation` pipeline again.",
            )
        return self.relevance


def open_ranker(
    index_folder: Path,
    vectors_folder: Path,
    params: AugmentationParams,
    *,
    relevance_train: sp.csr_matrix | None = None,
    prior: NDArray[np.float32] | None = None,
    device: str | None = None,
) -> Ranker:
    """Open what the ranking needs.

    Args:
        index_folder: A saved label index, with the further indexes of a blend in sub-folders.
        vectors_folder: Folder of `label_texts.npy` and `train_queries.npy`, searched exactly where there is no index.
        params: The blend.
        relevance_train: Labels of the training queries [N, L].
        prior: See `Ranker`.
        device: Where exact searches run.
    """
    labels = open_index(index_folder, device=device)
    blocks = RetrievalParams(query_block=labels.params.query_block, label_block=labels.params.label_block)

    def further(name: str) -> LabelIndex | None:
        if (index_folder / name).is_dir():
            return open_index(index_folder / name, device=device)
        file = vectors_folder / FILES[name]
        if not file.is_file():
            return None
        return ExactIndex(open_array(file, shape=(None, None)), blocks, device)

    relevance = None
    if relevance_train is not None:
        relevance = sp.csr_matrix(relevance_train, dtype=np.float32, copy=True)
        relevance.data[:] = 1.0
    return Ranker(labels, params, further(TEXTS), further(QUERIES), relevance, prior, labels.params.query_block)


def label_prior(frequencies: NDArray[np.integer], params: RetrievalParams) -> NDArray[np.float32] | None:
    """Return what is added to the scores of queries without an image, float32 [L]; None for nothing.

    Args:
        frequencies: Training queries of each label [L].
        params: Its weight.
    """
    if not params.imageless_prior:
        return None
    return (params.imageless_prior * np.log1p(frequencies)).astype(np.float32)


def softmax(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return the softmax of each row of similarities [n, k]; -inf (padding) gets 0, a row of padding stays 0."""
    peak = np.maximum(scores.max(axis=1, keepdims=True, initial=-np.inf), np.finfo(np.float32).min)
    exponential = np.exp((scores - peak) / np.float32(temperature))
    total = exponential.sum(axis=1, keepdims=True)
    return np.divide(exponential, total, out=np.zeros_like(exponential), where=total > 0)


def to_csr(values: NDArray[np.float32], columns: NDArray[np.int64], width: int) -> sp.csr_matrix:
    """Return top lists [n, k] as CSR [n, width], without padding (column -1) and zeros."""
    real = (columns >= 0) & (values > 0)
    indptr = np.append(0, np.cumsum(real.sum(axis=1)))
    return sp.csr_matrix((values[real], columns[real], indptr), shape=(len(values), width))


def without_pairs(mass: sp.csr_matrix, pairs: sp.csr_matrix | None) -> sp.csr_matrix:
    """Return `mass` [n, L] without the entries that `pairs` [n, L] stores."""
    if pairs is None or not pairs.nnz:
        return mass
    width = mass.shape[1]
    gone = np.isin(_keys(mass, width), _keys(sp.csr_matrix(pairs), width))
    mass = mass.copy()
    mass.data[gone] = 0
    mass.eliminate_zeros()
    return mass


def sparse_top_k(matrix: sp.csr_matrix, k: int) -> SearchResult:
    """Return the `k` largest stored entries of each row, best first, equal ones by rising column.

    Args:
        matrix: CSR [n, L] without duplicates.
        k: Entries wanted of each row.

    Returns:
        scores float32 [n, k] and columns int64 [n, k], padded with -inf and -1.
    """
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    place = np.arange(len(order)) - matrix.indptr[rows[order]]
    taken = order[place < k]
    scores = np.full((matrix.shape[0], k), -np.inf, dtype=np.float32)
    columns = np.full((matrix.shape[0], k), -1, dtype=np.int64)
    at = rows[taken], place[place < k]
    scores[at], columns[at] = matrix.data[taken], matrix.indices[taken]
    return scores, columns


def _keys(matrix: sp.csr_matrix, width: int) -> NDArray[np.int64]:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return rows * width + matrix.indices
