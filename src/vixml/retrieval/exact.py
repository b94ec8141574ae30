"""Exact maximum inner product search in blocks: the full score matrix never exists.

Every block of queries meets every block of labels; a running list of the best k is merged after each. Excluded pairs
(the filter files of the benchmarks) are masked before the selection, so they cost no depth and nothing is lost.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError
from vixml.retrieval.blocks import (
    check_finite,
    check_shapes,
    excluded_by_block,
    floats,
    keys_of,
    resident,
    scores_and_labels,
    scores_of,
    side_by_side,
)
from vixml.retrieval.prefilter import Bfloat16Prefilter

if TYPE_CHECKING:
    import torch


_CPU_BLOCK = 2048
_GROUP = 32  # scores whose largest is looked at first
_GROWTH = 4  # on a CPU the running list is merged when this many times its labels have been seen


def top_k(
    queries: NDArray[Any] | torch.Tensor,
    labels: NDArray[Any] | torch.Tensor,
    k: int,
    *,
    exclude: sp.csr_matrix | None = None,
    query_block: int = 2048,
    label_block: int = 16_384,
    device: str | torch.device | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the `k` labels of largest inner product for every query, best first.

    Equal scores are ordered by label id. Any float type is read; scores are computed in float32. Memory is a few times
    `4 * query_block * label_block` bytes plus the results; on a GPU the labels stay there when they fit easily.

    Args:
        queries: Query vectors [N, D]; array, memory map or tensor.
        labels: Label vectors [L, D]; likewise.
        k: Labels wanted for each query, at least 1; may exceed L.
        exclude: Pairs that must not be returned, CSR [N, L] (every stored entry counts), or nothing.
        query_block: Queries scored at once.
        label_block: Most labels scored at once; a CPU takes at most 2,048, so that the scores stay in its cache.
        device: Where to compute; default the device of `queries` if it is a tensor, else the CPU.

    Returns:
        scores float32 [N, k] and labels int64 [N, k]; where fewer than `k` labels remain, -inf and -1.

    Raises:
        DataError: Shapes disagree, or a vector is not finite.
    """
    import torch

    target = torch.device(device if device is not None else getattr(queries, "device", "cpu"))
    search = ExactSearch(labels, target)
    return search.top_k(queries, k, exclude=exclude, query_block=query_block, label_block=label_block)


class ExactSearch:
    """Exact search through one set of labels, ready to be asked again and again.

    What depends on the labels alone is made once, at the first search that needs it: their copy on a GPU, where they
    take less than a quarter of its free memory, and the norms of the scan in bfloat16 on a CPU.

    Args:
        labels: Label vectors [L, D], as for `top_k`; they must not change any more.
        device: Where to compute.
    """

    def __init__(self, labels: NDArray[Any] | torch.Tensor, device: torch.device) -> None:
        self._given, self._device = labels, device

    @cached_property
    def _labels(self) -> Any:
        return resident(self._given, self._device)

    @cached_property
    def _scan(self) -> Bfloat16Prefilter:
        return Bfloat16Prefilter(self._labels)

    def top_k(
        self,
        queries: NDArray[Any] | torch.Tensor,
        k: int,
        *,
        exclude: sp.csr_matrix | None = None,
        query_block: int = 2048,
        label_block: int = 16_384,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores and labels as the function `top_k` does."""
        import torch

        num_queries, num_labels = check_shapes(queries, self._given, k, exclude)
        scores = np.full((num_queries, k), -np.inf, dtype=np.float32)
        ids = np.full((num_queries, k), -1, dtype=np.int64)
        depth = min(k, num_labels)
        if depth == 0 or num_queries == 0:
            return scores, ids
        block = min(label_block, _CPU_BLOCK) if self._device.type == "cpu" else label_block
        with torch.inference_mode():
            scans = Bfloat16Prefilter.pays(self._labels, min(query_block, num_queries), depth, self._device)
            for begin in range(0, num_queries, query_block):
                query_bd = floats(queries[begin : begin + query_block], self._device)
                check_finite(query_bd, "query", begin)
                excluded = None if exclude is None else exclude[begin : begin + query_block]
                rows = np.arange(len(query_bd))
                if scans:
                    rows = self._scan.search(query_bd, depth, excluded, scores[begin:], ids[begin:])  # what is left
                if len(rows):
                    excluded = None if excluded is None else excluded[rows]
                    found = _search(
                        query_bd[torch.from_numpy(rows)], self._labels, depth, excluded, block, check=begin == 0
                    )
                    scores[begin + rows, :depth], ids[begin + rows, :depth] = found
        return scores, ids


def _search(
    query_bd: torch.Tensor, labels: Any, depth: int, exclude: sp.csr_matrix | None, block: int, *, check: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Search one block of queries in float32; `check` looks whether the labels are finite."""
    import torch

    num_queries, num_labels, target = len(query_bd), labels.shape[0], query_bd.device
    best = _Best(num_queries, depth, target)
    tile = torch.empty(num_queries * min(block, num_labels), device=target)
    masks = excluded_by_block(exclude, num_labels, block)
    for start, (rows, columns) in zip(range(0, num_labels, block), masks, strict=False):
        label_ld = floats(labels[start : start + block], target)
        if check:
            check_finite(label_ld, "label", start)
        # One reused buffer: fresh ones would spend half the time on page faults.
        score_bl = tile[: num_queries * len(label_ld)].view(num_queries, len(label_ld))
        torch.mm(query_bd, label_ld.T, out=score_bl)
        if len(rows):
            score_bl[torch.from_numpy(rows).to(target), torch.from_numpy(columns).to(target)] = -torch.inf
        best.add(score_bl, start)
    return best.result()


class _Best:
    """The best `depth` labels of every query so far, as integer keys that order by falling score, then rising label.

    The upper half of a key is the score's bits, made to order like integers; the lower half is the label, negated. So
    the largest keys are the answer, ties included, and a merge is one `topk`.

    On a CPU a block is compared with the score to beat while it is still in the cache: nearly all of it is dropped by
    one look at the largest of each `_GROUP`, and what survives is merged now and then. A GPU selects from whole blocks,
    which needs no transfer to the host.
    """

    def __init__(self, num_queries: int, depth: int, device: torch.device) -> None:
        import torch

        self._depth, self._on_cpu = depth, device.type == "cpu"
        self._keys = torch.empty((num_queries, 0), dtype=torch.int64, device=device)
        self._to_beat: torch.Tensor | None = None  # [b, 1]
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []  # (rows, keys) that beat it
        self._num_pending = self._seen = self._seen_at_merge = 0

    def add(self, score_bl: torch.Tensor, start: int) -> None:
        """Take in the scores of labels `start`, `start + 1`, ..."""
        import torch

        self._seen += score_bl.shape[1]
        if self._to_beat is None or score_bl.shape[1] % _GROUP:
            self._merge(keys_of(score_bl, torch.arange(start, self._seen, device=score_bl.device)))
            return
        groups = score_bl.view(len(score_bl), -1, _GROUP)
        row, group = (groups.amax(dim=2) > self._to_beat).nonzero(as_tuple=True)
        score = groups[row, group]
        place, column = (score > self._to_beat[row]).nonzero(as_tuple=True)
        self._pending.append((row[place], keys_of(score[place, column], start + group[place] * _GROUP + column)))
        self._num_pending += len(place)
        # Labels that arrive in rising order of score would fill the memory: merge early then.
        if self._seen >= _GROWTH * self._seen_at_merge or self._num_pending > 8 * self._depth * len(score_bl):
            self._merge_pending()

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores float32 and labels int64 [b, depth], best first."""
        self._merge_pending()
        score, label = scores_and_labels(self._keys)
        return score.cpu().numpy(), label.cpu().numpy()

    def _merge_pending(self) -> None:
        """Merge the survivors, put side by side as [b, most of a row]."""
        import torch

        if not self._num_pending:
            return
        row, key = (torch.cat(parts) for parts in zip(*self._pending, strict=True))
        matrix = side_by_side(row, key, len(self._keys))
        self._pending, self._num_pending = [], 0
        self._merge(matrix)

    def _merge(self, keys: torch.Tensor) -> None:
        import torch

        if self._num_pending:
            self._merge_pending()
        most = min(self._depth, keys.shape[1])
        keys = torch.cat([self._keys, torch.topk(keys, most, dim=1).values], dim=1)
        self._keys = torch.topk(keys, min(self._depth, keys.shape[1]), dim=1).values
        self._seen_at_merge = self._seen
        if self._on_cpu and self._keys.shape[1] == self._depth:
            self._to_beat = scores_of(self._keys[:, -1:])


def shorten(vectors: NDArray[np.float32], dim: int | None) -> NDArray[np.float32]:
    """Return the first `dim` numbers of unit embeddings [n, d], again of unit length; None for what is given.

    Raises:
        ConfigError: The embeddings are narrower.
    """
    if dim is None or dim == vectors.shape[1]:
        return vectors
    if dim > vectors.shape[1]:
        raise ConfigError("retrieval.dim is wider than the embeddings", found=dim, expected=f"<= {vectors.shape[1]}")
    return unit_rows(vectors[:, :dim])


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors [n, d] scaled to unit length; zero rows stay zero."""
    scaled: NDArray[np.float32] = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12)
    )
    return scaled
