"""Ragged arrays: rows of different lengths in one flat array with offsets, so that nothing is padded at rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RaggedArray:
    """Rows of different lengths.

    Args:
        values: All rows one after the other [total]; may be a memory map.
        offsets: Row i is `values[offsets[i]:offsets[i + 1]]`; int64 [rows + 1], from 0.
    """

    values: NDArray[np.generic]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row, int64 [rows]."""
        return np.diff(self.offsets)

    def row(self, index: int) -> NDArray[np.generic]:
        """Return one row."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @classmethod
    def join(cls, parts: Sequence[RaggedArray]) -> RaggedArray:
        """Return the rows of all parts, one part after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate([part.values for part in parts]), offsets_of(lengths))

    def take(self, rows: NDArray[np.integer]) -> RaggedArray:
        """Return the chosen rows as a new ragged array, copied by one gather.

        Args:
            rows: Row indices [n], repeats allowed.
        """
        starts = self.offsets[rows]
        lengths = self.offsets[np.asarray(rows) + 1] - starts
        return RaggedArray(self.values[ragged_indices(starts, lengths)], offsets_of(lengths))

    def truncate(self, most: int) -> RaggedArray:
        """Return the rows cut to at most `most` values each."""
        lengths = np.minimum(self.lengths, most)
        return RaggedArray(self.values[ragged_indices(self.offsets[:-1], lengths)], offsets_of(lengths))


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the offsets [rows + 1] of rows with the given lengths [rows]."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ragged_indices(starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return `starts[i], starts[i] + 1, ...` (`lengths[i]` of them) for every i, concatenated."""
    offsets = offsets_of(lengths)
    return np.repeat(np.asarray(starts) - offsets[:-1], lengths) + np.arange(offsets[-1])
