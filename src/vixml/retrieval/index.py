"""Label indexes behind one protocol: exact blocked search, or faiss (flat, HNSW, inverted lists, compressed ones).

An index is saved as a small folder (`index.json` beside `vectors.npy` or `index.faiss`) and opened from it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.directories import write_json
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.core.guards.untrusted import open_array, opening, read_document
from vixml.data.ragged import ragged_indices
from vixml.params.retrieval import RetrievalParams
from vixml.retrieval.exact import ExactSearch

SearchResult = tuple[NDArray[np.float32], NDArray[np.int64]]
_log = logging.getLogger(__name__)
_FEWEST_FOR_CODES = 2  # labels; a code book of one bit is learnt from as many vectors
_READING = threading.Lock()  # faiss has one limit for the process
_FEW = 8  # excluded pairs of a row that are looked for one by one, in blocks of so many numbers
_NUMBERS_PER_BLOCK = 1 << 21


class LabelIndex(Protocol):
    """Searches label vectors by inner product."""

    @property
    def params(self) -> RetrievalParams:
        """Kind, search settings and block sizes."""

    @property
    def size(self) -> int:
        """Number of label vectors."""

    @property
    def dim(self) -> int:
        """Width of a vector."""

    def search(self, queries: NDArray[Any], k: int, *, exclude: sp.csr_matrix | None = None) -> SearchResult:
        """Return scores float32 [N, k] and labels int64 [N, k], best first, padded with -inf and -1.

        Args:
            queries: Query vectors [N, D].
            k: Labels wanted for each query.
            exclude: Pairs that must not be returned, CSR [N, size].
        """

    def save(self, folder: Path) -> None:
        """Write the index into `folder`, which is created; `open_index` reads it."""


@dataclass(frozen=True)
class ExactIndex:
    """The vectors themselves, searched by blocks.

    Args:
        vectors: Label vectors [L, D]; may be a memory map.
        params: Block sizes.
        device: Where to compute, for instance "cuda"; default the CPU.
    """

    vectors: NDArray[Any]
    params: RetrievalParams
    device: str | None = None

    @property
    def size(self) -> int:
        """Number of label vectors."""
        return int(self.vectors.shape[0])

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.vectors.shape[1])

    def search(self, queries: NDArray[Any], k: int, *, exclude: sp.csr_matrix | None = None) -> SearchResult:
        """See `LabelIndex.search`; equal scores are ordered by label id."""
        return self._search.top_k(
            queries, k, exclude=exclude, query_block=self.params.query_block, label_block=self.params.label_block
        )

    @cached_property
    def _search(self) -> ExactSearch:
        """What is kept from search to search: on a GPU the vectors themselves."""
        import torch

        return ExactSearch(self.vectors, torch.device(self.device or "cpu"))

    def save(self, folder: Path) -> None:
        """Write `vectors.npy` and `index.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "vectors.npy", self.vectors)
        write_json(folder / "index.json", self.params.model_dump())


@dataclass(frozen=True)
class FaissIndex:
    """A faiss index over inner product.

    Args:
        index: The faiss index.
        params: Search settings and block size.
        on_gpu: Whether the index lives on a GPU.
    """

    index: Any
    params: RetrievalParams
    on_gpu: bool = False

    @property
    def size(self) -> int:
        """Number of label vectors."""
        return int(self.index.ntotal)

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.index.d)

    def search(self, queries: NDArray[Any], k: int, *, exclude: sp.csr_matrix | None = None) -> SearchResult:
        """See `LabelIndex.search`. Each block looks deep enough to lose its excluded pairs and still return `k`."""
        if queries.ndim != 2 or queries.shape[1] != self.dim or k < 1:
            raise DataError("the queries do not fit the index", found=queries.shape, expected=f"[N, {self.dim}], k > 0")
        if exclude is not None and exclude.shape != (len(queries), self.size):
            raise DataError("the filter has another shape than the search", found=exclude.shape)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        labels = np.full((len(queries), k), -1, dtype=np.int64)
        for begin in range(0, len(queries), self.params.query_block):
            block = np.ascontiguousarray(queries[begin : begin + self.params.query_block], dtype=np.float32)
            removed = None if exclude is None else exclude[begin : begin + len(block)]
            extra = int(np.diff(removed.indptr).max(initial=0)) if removed is not None else 0
            depth = min(k + extra, self.size)
            found, ids = self.index.search(block, depth, **self._effort(depth))
            if ids.size and int(ids.max()) >= self.size:
                raise StateError("the index refers to labels that do not exist", found=int(ids.max()))
            width = min(k, depth)
            part = slice(begin, begin + len(block))
            scores[part, :width], labels[part, :width] = remove_pairs(found, ids, removed, width)
        return scores, labels

    def _effort(self, depth: int) -> dict[str, Any]:
        faiss = _import_faiss()
        if self.params.kind == "faiss-hnsw":  # given with each search, so that threads do not disturb each other
            return {"params": faiss.SearchParametersHNSW(efSearch=max(self.params.hnsw_search_depth, depth))}
        return {}

    def save(self, folder: Path) -> None:
        """Write `index.faiss` and `index.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        faiss = _import_faiss()
        index = faiss.index_gpu_to_cpu(self.index) if self.on_gpu else self.index
        faiss.write_index(index, str(folder / "index.faiss"))
        write_json(folder / "index.json", self.params.model_dump())


def build_index(vectors: NDArray[Any], params: RetrievalParams, *, device: str | None = None) -> LabelIndex:
    """Build the index that `params.kind` names over label vectors [L, D].

    `device` "cuda" searches on the GPU: exact search with torch, faiss where it is built for GPUs (not HNSW).

    Raises:
        ConfigError: faiss is asked for and not installed.
        DataError: No vectors, or not a matrix.
    """
    if vectors.ndim != 2 or vectors.shape[0] == 0:
        raise DataError("an index needs at least one label vector", found=vectors.shape, expected="[L, D] with L > 0")
    if params.kind == "exact":
        return ExactIndex(vectors=vectors, params=params, device=device)
    data = np.ascontiguousarray(vectors, dtype=np.float32)
    index = _empty_faiss_index(len(data), data.shape[1], params)
    if not index.is_trained:
        index.train(data)
    index.add(data)
    return _faiss_index(index, params, device)


def open_index(folder: Path, *, device: str | None = None) -> LabelIndex:
    """Open an index that `save` wrote; exact vectors stay a memory map.

    Raises:
        StateError: The folder is incomplete, or a file is malformed.
    """
    document = read_document(folder / "index.json")
    document.pop("augmentation", None)  # the ranking that an earlier version built it for
    with opening(folder / "index.json"):
        params = RetrievalParams.model_validate(document)
    file = folder / ("vectors.npy" if params.kind == "exact" else "index.faiss")
    if not file.is_file():
        raise StateError("the index file is missing", file=file, remedy="run the pipeline that builds the index again.")
    if params.kind == "exact":
        return ExactIndex(vectors=open_array(file, shape=(None, None)), params=params, device=device)
    with opening(file):
        return _faiss_index(_read_faiss(file), params, device)


def _read_faiss(file: Path) -> Any:
    """Read an index; a length in it that goes beyond the file is refused before memory for it is taken."""
    faiss = _import_faiss()
    with _READING:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(max(1 << 20, 2 * file.stat().st_size))
        try:
            return faiss.read_index(str(file))
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def _empty_faiss_index(size: int, dim: int, params: RetrievalParams) -> Any:
    """Return a faiss index for `size` vectors of width `dim`, without them."""
    faiss = _import_faiss()
    if params.kind == "faiss-ivfpq" and size < _FEWEST_FOR_CODES:
        _log.warning("retrieval.kind faiss-ivfpq needs %d labels; the index of this one is flat.", _FEWEST_FOR_CODES)
        return faiss.IndexFlatIP(dim)
    if params.kind == "faiss-flat":
        return faiss.IndexFlatIP(dim)
    if params.kind == "faiss-hnsw":
        index = faiss.IndexHNSWFlat(dim, params.hnsw_neighbours, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = params.hnsw_build_depth
        return index
    lists = min(params.ivf_lists or max(1, round(4 * size**0.5)), size)
    if params.kind == "faiss-ivf":
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    else:
        # a code book of 2 ** bits entries is learnt from the vectors themselves: few vectors, few bits
        bits = max(1, min(8, size.bit_length() - 1))
        coarse = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFPQ(coarse, dim, lists, _subvectors(dim, params), bits, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.min_points_per_centroid = 1
    index.cp.min_points_per_centroid = 1
    return index


def _subvectors(dim: int, params: RetrievalParams) -> int:
    """Return into how many parts a vector is cut, each of which becomes one byte."""
    if not params.pq_subvectors:
        return max(parts for parts in range(1, max(1, dim // 4) + 1) if dim % parts == 0)
    if dim % params.pq_subvectors:
        raise ConfigError(
            "retrieval.pq_subvectors must divide the embedding width",
            found=f"{params.pq_subvectors}, width {dim}",
            remedy="choose another number, or 0 for a fitting one.",
        )
    return params.pq_subvectors


def _faiss_index(index: Any, params: RetrievalParams, device: str | None) -> FaissIndex:
    """Set the search effort; move the index to the GPU if one is wanted, faiss has one, and it knows the kind there."""
    if params.kind in {"faiss-ivf", "faiss-ivfpq"} and hasattr(index, "nlist"):  # else a flat one, for want of labels
        index.nprobe = min(params.ivf_probes, index.nlist)
    faiss = _import_faiss()
    number = getattr(faiss, "get_num_gpus", int)()
    if not (device or "").startswith("cuda") or not number or params.kind == "faiss-hnsw":
        return FaissIndex(index=index, params=params)
    card = int(device.partition(":")[2] or 0) if device else 0
    moved = faiss.index_cpu_to_gpus_list(index, gpus=[min(card, number - 1)])
    return FaissIndex(index=moved, params=params, on_gpu=True)


def remove_pairs(
    scores: NDArray[np.float32], labels: NDArray[np.int64], pairs: sp.csr_matrix | None, k: int
) -> SearchResult:
    """Drop excluded labels from top lists, close the gaps in order, and return the first `k` places.

    Args:
        scores: float32 [N, K], best first.
        labels: int64 [N, K]; -1 is padding.
        pairs: Pairs to drop, CSR [N, L], or nothing.
        k: Places to return, at most K.

    Returns:
        scores and labels [N, k]; places that are left empty at the end hold -inf and -1.
    """
    gone = labels < 0
    if pairs is not None:
        _mark_pairs(gone, labels, pairs)
    some = np.flatnonzero(gone.any(axis=1))
    stays = ~gone[some]
    filled = np.arange(labels.shape[1]) < np.count_nonzero(stays, axis=1)[:, None]

    def closed(values: NDArray[Any], empty: float) -> NDArray[Any]:
        kept, gaps = values[:, :k].copy(), np.full(stays.shape, empty, dtype=values.dtype)
        gaps[filled] = values[some][stays]
        kept[some] = gaps[:, :k]
        return kept

    return closed(scores, -np.inf), closed(labels, -1)


def _mark_pairs(gone: NDArray[np.bool_], labels: NDArray[np.int64], pairs: sp.csr_matrix) -> None:
    """Mark the places of top lists [N, K] that hold excluded labels."""
    counts = np.diff(pairs.indptr)
    # A row's few pairs are looked for in its list one by one,
    few = np.flatnonzero((counts > 0) & (counts <= _FEW))
    rows = np.repeat(few, counts[few])
    columns = pairs.indices[ragged_indices(pairs.indptr[few], counts[few])]
    block = max(1, _NUMBERS_PER_BLOCK // max(1, labels.shape[1]))
    for begin in range(0, len(rows), block):
        part = slice(begin, begin + block)
        pair, place = np.nonzero(labels[rows[part]] == columns[part, None])
        gone[rows[part][pair], place] = True
    # of many, the list's places among the pairs, by sorted keys.
    many = np.flatnonzero(counts > _FEW)
    if len(many):
        keys = np.repeat(np.arange(len(many)), counts[many]) * pairs.shape[1]
        keys = np.sort(keys + pairs.indices[ragged_indices(pairs.indptr[many], counts[many])])
        wanted = np.arange(len(many))[:, None] * pairs.shape[1] + labels[many]
        gone[many] |= keys[np.searchsorted(keys, wanted).clip(max=len(keys) - 1)] == wanted


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError as err:
        raise ConfigError(
            "a faiss index is asked for, but faiss is not installed",
            remedy="install faiss-cpu (or faiss-gpu), or set retrieval.kind: exact.",
        ) from err
    return faiss
