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

from vixml.core.errors import DataError

if TYPE_CHECKING:
    import torch


def top_k(
    queries: NDArray[Any] | torch.Tensor,
    labels: NDArray[Any] | torch.Tensor,
    k: int,
    *,
    exclude: sp.csr_matrix | None = None,
    query_block: int = 1024,
    label_block: int = 16_384,
    device: str | torch.device | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the `k` labels of largest inner product for every query, best first.

    Equal scores are ordered by label id. Any float type is read; scores are computed in float32. Memory is about
    `4 * query_block * label_block` bytes plus the results; on a GPU the labels stay there when they fit easily.

    Args:
        queries: Query vectors [N, D]; array, memory map or tensor.
        labels: Label vectors [L, D]; likewise.
        k: Labels wanted for each query, at least 1; may exceed L.
        exclude: Pairs that must not be returned, CSR [N, L] (every stored entry counts), or nothing.
        query_block: Queries scored at once.
        label_block: Labels scored at once.
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
    labels = _resident(labels, target)
    with torch.inference_mode():
        for begin in range(0, num_queries, query_block):
            end = min(begin + query_block, num_queries)
            query_bd = _floats(queries[begin:end], target)
            _check_finite(query_bd, "query", begin)
            masks = _label_blocks_of(None if exclude is None else exclude[begin:end], num_labels, label_block)
            best_score = torch.empty((end - begin, 0), dtype=torch.float32, device=target)
            best_label = torch.empty((end - begin, 0), dtype=torch.int64, device=target)
            for start, (rows, columns) in zip(range(0, num_labels, label_block), masks, strict=False):
                label_ld = _floats(labels[start : start + label_block], target)
                if begin == 0:
                    _check_finite(label_ld, "label", start)
                score_bl = query_bd @ label_ld.T
                if len(rows):
                    score_bl[torch.from_numpy(rows).to(target), torch.from_numpy(columns).to(target)] = -torch.inf
                block_score, block_label = _block_top(score_bl, depth)
                best_score, best_label = _merge(best_score, best_label, block_score, block_label + start, depth)
            best_label[best_score == -torch.inf] = -1
            scores[begin:end, :depth] = best_score.cpu().numpy()
            ids[begin:end, :depth] = best_label.cpu().numpy()
    return scores, ids


def _block_top(score_bl: torch.Tensor, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the best `depth` entries of each row, by falling score and then rising column.

    torch.topk leaves open which of several equal scores it takes. One entry more than needed shows whether a tie
    straddles the cut; only such rows, rare in real data, are sorted in full.
    """
    import torch

    width = score_bl.shape[1]
    score, column = torch.topk(score_bl, min(depth + 1, width), dim=1)
    ties = (score[:, 1:] == score[:, :-1]) & (score[:, 1:] > -torch.inf)
    straddles = ties[:, depth - 1] if width > depth else torch.zeros(len(score), dtype=torch.bool, device=score.device)
    score, column = score[:, :depth], column[:, :depth]
    if bool(ties.any()):
        by_column = torch.argsort(column, dim=1)
        score, order = torch.sort(score.gather(1, by_column), dim=1, descending=True, stable=True)
        column = column.gather(1, by_column).gather(1, order)
    if bool(straddles.any()):
        full_score, full_column = torch.sort(score_bl[straddles], dim=1, descending=True, stable=True)
        score[straddles], column[straddles] = full_score[:, :depth], full_column[:, :depth]
    return score, column


def _merge(
    best_score: torch.Tensor, best_label: torch.Tensor, score: torch.Tensor, label: torch.Tensor, depth: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge two sorted lists; the labels of the second are all larger, so a stable sort keeps ties in label order."""
    import torch

    if best_score.shape[1] == 0:
        return score, label
    merged, order = torch.sort(torch.cat([best_score, score], dim=1), dim=1, descending=True, stable=True)
    return merged[:, :depth], torch.cat([best_label, label], dim=1).gather(1, order[:, :depth])


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
