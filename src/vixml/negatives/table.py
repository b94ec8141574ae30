"""The mined labels of all training queries, as batches draw from them, in memory and on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import StateError
from vixml.data.ragged import RaggedArray

Ints = NDArray[np.int64]

LABELS = "mined_labels.npy"
_DUPLICATES, _OFFSETS = "near_duplicates.npy", "near_duplicate_offsets.npy"


@dataclass(frozen=True)
class MinedTable:
    """Hard negative labels of every training query, and what must not be one.

    Args:
        labels: Label ids int32 [N, k], -1 for none. May be memory-mapped.
        duplicates: Labels that mining left out as nearly the same as a relevant one, N rows. Likewise.
    """

    labels: NDArray[np.integer]
    duplicates: RaggedArray

    def draw(self, rows: Ints, count: int, rng: np.random.Generator) -> Ints:
        """Return mined labels of each query in `rows`, `count` different ones where it has as many, all in one row.

        All queries of a batch share its pool, so what mining left out for one of them is drawn for none of them.

        Args:
            rows: Query indices [B].
            count: Labels drawn for each query, at most k.
            rng: Random stream of this step.
        """
        table = np.asarray(self.labels[rows])
        keys = np.where(table >= 0, rng.random(table.shape), 2.0)
        drawn = np.take_along_axis(table, np.argpartition(keys, count - 1, axis=1)[:, :count], axis=1)
        unsafe = self.duplicates.take(rows).values
        return drawn[(drawn >= 0) & ~np.isin(drawn, unsafe)].astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write the table as plain arrays into `folder`."""
        np.save(folder / LABELS, self.labels, allow_pickle=False)
        np.save(folder / _DUPLICATES, self.duplicates.values, allow_pickle=False)
        np.save(folder / _OFFSETS, self.duplicates.offsets, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path, *, remedy: str) -> MinedTable:
        """Open the table that `folder` holds, memory-mapped.

        Args:
            folder: Where it was written.
            remedy: What to do where an earlier version wrote the folder.

        Raises:
            StateError: The folder has mined labels, but not what was left out.
        """
        if not (folder / _OFFSETS).exists():
            raise StateError(
                "these mined labels lack the record of near-duplicates that were left out",
                file=folder / _OFFSETS,
                found="nothing: an earlier version wrote them, or a run without batching.mined_per_query",
                remedy=remedy,
            )
        labels, values = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (LABELS, _DUPLICATES))
        return cls(labels, RaggedArray(values, np.load(folder / _OFFSETS, allow_pickle=False)))
