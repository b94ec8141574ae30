"""What the exact searches share: checks, blocks of vectors, keys that order scores and labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import DataError

if TYPE_CHECKING:
    import torch

_ROWS = 65_536  # vectors that go to a GPU at once


def keys_of(score: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return int64 keys that order by score, then by falling label; the shapes broadcast."""
    import torch

    bits = (score + 0.0).view(torch.int32)  # -0.0 becomes 0.0, its equal
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (bits.to(torch.int64) << 32) | (0xFFFFFFFF - label)


def scores_and_labels(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `keys_of`: scores float32 and labels int64, -1 where the score is -inf."""
    score = scores_of(keys)
    return score, (0xFFFFFFFF - (keys & 0xFFFFFFFF)).masked_fill(score == float("-inf"), -1)


def scores_of(keys: torch.Tensor) -> torch.Tensor:
    """Return the scores float32 in keys."""
    import torch

    bits = (keys >> 32).to(torch.int32)
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).view(torch.float32)


def side_by_side(row: torch.Tensor, key: torch.Tensor, num_rows: int) -> torch.Tensor:
    """Put keys int64 [n] of rows int64 [n] into a matrix [num_rows, most of a row], padded with the least key."""
    import torch

    row, order = torch.sort(row, stable=True)
    counts = torch.bincount(row, minlength=num_rows)
    place = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
    matrix = torch.full((num_rows, int(counts.max())), torch.iinfo(torch.int64).min)
    matrix[row, place] = key[order]
    return matrix


def excluded_by_block(
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


def check_shapes(queries: Any, labels: Any, k: int, exclude: sp.csr_matrix | None) -> tuple[int, int]:
    """Return the numbers of queries and labels; raise `DataError` where the arguments of a search disagree."""
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


def check_finite(vectors: torch.Tensor, side: str, offset: int) -> None:
    """Raise `DataError` for the first vector that is not finite; `offset` is the number of the first one."""
    import torch

    if bool(torch.isfinite(vectors.sum())):  # one pass; a sum of finite numbers may still overflow
        return
    finite = torch.isfinite(vectors).all(dim=1)
    if not bool(finite.all()):
        row = offset + int((~finite).nonzero()[0])
        raise DataError(f"the vector of {side} {row} is not finite", expected="finite numbers only")


def floats(block: Any, target: torch.device) -> torch.Tensor:
    """Return a block on the device, as float32, not to be written; the transfer is in the type it is stored in."""
    import torch

    if not isinstance(block, torch.Tensor):
        # torch would warn about sharing what is read-only (a memory map), and cannot share what is not contiguous.
        shared = block.flags.writeable and block.flags.c_contiguous
        block = torch.from_numpy(block if shared else np.array(block, order="C"))
    return block.to(target).float()


def resident(labels: Any, target: torch.device) -> Any:
    """Put the labels on a GPU once when they take less than a quarter of its free memory."""
    import torch

    if target.type != "cuda" or isinstance(labels, torch.Tensor):
        return labels
    free, _ = torch.cuda.mem_get_info(target)
    if labels.nbytes >= free / 4:
        return labels
    copy = torch.empty(labels.shape, dtype=torch.from_numpy(labels[:0].copy()).dtype, device=target)
    for start in range(0, len(labels), _ROWS):
        copy[start : start + _ROWS] = torch.from_numpy(np.array(labels[start : start + _ROWS]))
    return copy
