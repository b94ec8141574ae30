"""Exact maximum inner product search in blocks: the full score matrix never exists.

Every block of queries meets every block of labels; a running list of the best k is merged after each. Excluded pairs
(the filter files of the benchmarks) are masked before the selection, so they cost no depth and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError, DataError

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

    num_queries, num_labels = _check_shapes(queries, labels, k, exclude)
    target = torch.device(device if device is not None else getattr(queries, "device", "cpu"))
    scores = np.full((num_queries, k), -np.inf, dtype=np.float32)
    ids = np.full((num_queries, k), -1, dtype=np.int64)
    depth = min(k, num_labels)
    if depth == 0 or num_queries == 0:
        return scores, ids
    block = min(label_block, _CPU_BLOCK) if target.type == "cpu" else label_block
    with torch.inference_mode():
        label_blocks = _resident(labels, target)
        for begin in range(0, num_queries, query_block):
            end = min(begin + query_block, num_queries)
            query_bd = _floats(queries[begin:end], target)
            _check_finite(query_bd, "query", begin)
            masks = _label_blocks_of(None if exclude is None else exclude[begin:end], num_labels, block)
            best = _Best(end - begin, depth, target)
            tile = torch.empty((end - begin) * min(block, num_labels), device=target)
            for start, (rows, columns) in zip(range(0, num_labels, block), masks, strict=False):
                label_ld = _floats(label_blocks[start : start + block], target)
                if begin == 0:
                    _check_finite(label_ld, "label", start)
                # One reused buffer: fresh ones would spend half the time on page faults.
                score_bl = tile[: (end - begin) * len(label_ld)].view(end - begin, len(label_ld))
                torch.mm(query_bd, label_ld.T, out=score_bl)
                if len(rows):
                    score_bl[torch.from_numpy(rows).to(target), torch.from_numpy(columns).to(target)] = -torch.inf
                best.add(score_bl, start)
            scores[begin:end, :depth], ids[begin:end, :depth] = best.result()
    return scores, ids


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
            self._merge(_keys(score_bl, torch.arange(start, self._seen, device=score_bl.device)))
            return
        groups = score_bl.view(len(score_bl), -1, _GROUP)
        row, group = (groups.amax(dim=2) > self._to_beat).nonzero(as_tuple=True)
        score = groups[row, group]
        place, column = (score > self._to_beat[row]).nonzero(as_tuple=True)
        self._pending.append((row[place], _keys(score[place, column], start + group[place] * _GROUP + column)))
        self._num_pending += len(place)
        # Labels that arrive in rising order of score would fill the memory: merge early then.
        if self._seen >= _GROWTH * self._seen_at_merge or self._num_pending > 8 * self._depth * len(score_bl):
            self._merge_pending()

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores float32 and labels int64 [b, depth], best first."""
        import torch

        self._merge_pending()
        bits = (self._keys >> 32).to(torch.int32)
        score = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).view(torch.float32)
        label = (0xFFFFFFFF - (self._keys & 0xFFFFFFFF)).masked_fill(score == -torch.inf, -1)
        return score.cpu().numpy(), label.cpu().numpy()

    def _merge_pending(self) -> None:
        """Merge the survivors, put side by side as [b, most of a row]."""
        import torch

        if not self._num_pending:
            return
        row, key = (torch.cat(parts) for parts in zip(*self._pending, strict=True))
        row, order = torch.sort(row, stable=True)
        counts = torch.bincount(row, minlength=len(self._keys))
        place = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
        side_by_side = torch.full((len(counts), int(counts.max())), torch.iinfo(torch.int64).min)
        side_by_side[row, place] = key[order]
        self._pending, self._num_pending = [], 0
        self._merge(side_by_side)

    def _merge(self, keys: torch.Tensor) -> None:
        import torch

        if self._num_pending:
            self._merge_pending()
        most = min(self._depth, keys.shape[1])
        keys = torch.cat([self._keys, torch.topk(keys, most, dim=1).values], dim=1)
        self._keys = torch.topk(keys, min(self._depth, keys.shape[1]), dim=1).values
        self._seen_at_merge = self._seen
        if self._on_cpu and self._keys.shape[1] == self._depth:
            bits = (self._keys[:, -1:] >> 32).to(torch.int32)
            self._to_beat = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).view(torch.float32)


def _keys(score: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return int64 keys that order by score, then by falling label; the shapes broadcast."""
    import torch

    bits = (score + 0.0).view(torch.int32)  # -0.0 becomes 0.0, its equal
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (bits.to(torch.int64) << 32) | (0xFFFFFFFF - label)


def _label_blocks_of(
    exclude: sp.csr_matrix | None, num_labels: int, label_block: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, for every label block, the excluded (row, column within the block) pairs of one query block."""
    pairs = sp.coo_matrix((0, 0)) if exclude is None else exclude.tocoo()
    order = np.argsort(pairs.col, kind="stable")
    rows, columns = pairs.row[order].astype(np.int64), pairs.col[order].astype(np.int64)
    starts = np.arange(0, num_labels + label_block, label_block)
    cuts = np.searchsorted(columns, starts)
    for start, first, last in zip(starts, cuts, cuts[1:], strict=False):
        yield rows[first:last], columns[first:last] - start


def _check_shapes(queries: Any, labels: Any, k: int, exclude: sp.csr_matrix | None) -> tuple[int, int]:
    if k < 1:
        raise DataError("a search must ask for at least one label", found=k)
    if queries.ndim != 2 or labels.ndim != 2 or queries.shape[1] != labels.shape[1]:
        raise DataError(
            "query and label vectors do not fit together",
            found=f"queries {tuple(queries.shape)}, labels {tuple(labels.shape)}",
            expected="[N, D] and [L, D] of the same width D",
        )
    shape = (int(queries.shape[0]), int(labels.shape[0]))
    if exclude is not None and exclude.shape != shape:
        raise DataError("the filter has another shape than the search", found=exclude.shape, expected=str(shape))
    return shape


def _check_finite(vectors: torch.Tensor, side: str, offset: int) -> None:
    import torch

    if bool(torch.isfinite(vectors.sum())):  # one pass; a sum of finite numbers may still overflow
        return
    finite = torch.isfinite(vectors).all(dim=1)
    if not bool(finite.all()):
        row = offset + int((~finite).nonzero()[0])
        raise DataError(f"the vector of {side} {row} is not finite", expected="finite numbers only")


def _floats(block: Any, target: torch.device) -> torch.Tensor:
    """Copy a block to the device, as float32; the transfer happens in the type it is stored in."""
    import torch

    if not isinstance(block, torch.Tensor):
        # A private, writable copy: a memory map is read-only, and torch would warn about sharing it.
        block = torch.from_numpy(np.array(block, order="C"))
    return block.to(target).float()


def _resident(labels: Any, target: torch.device) -> Any:
    """Put the labels on a GPU once when they take less than a quarter of its free memory."""
    import torch

    if target.type != "cuda" or isinstance(labels, torch.Tensor):
        return labels
    free, _ = torch.cuda.mem_get_info(target)
    return torch.from_numpy(np.array(labels)).to(target) if labels.nbytes < free / 4 else labels


def shorten(vectors: NDArray[np.float32], dim: int | None) -> NDArray[np.float32]:
    """Return the first `dim` numbers of unit embeddings [n, d], again of unit length; None for what is given.

    Raises:
        ConfigError: The embeddings are narrower.
    """
    if dim is None or dim == vectors.shape[1]:
        return vectors
    if dim > vectors.shape[1]:
        raise ConfigError("retrieval.dim is wider than the embeddings", found=dim, expected=f"<= {vectors.shape[1]}")
    cut = vectors[:, :dim]
    return cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), np.float32(1e-12))
