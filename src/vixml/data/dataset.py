"""The ingested data set: items, relevance and filter pairs of all sides in one published directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.data.items import read_items
from vixml.data.matrix import read_matrix, write_matrix
from vixml.data.sides import QUERY_SIDES, Side

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

KIND = "dataset"
PARTS = (
    *(f"items_{side}" for side in Side),
    *(f"{kind}_{split}" for kind in ("relevance", "filter") for split in QUERY_SIDES),
)
"""What the directory holds: a Parquet file for items, an `.npz` file for a matrix."""


@dataclass(frozen=True)
class Dataset:
    """Handle of an ingested data set. A part is read when it is asked for, every time.

    Args:
        directory: The published directory.
    """

    directory: SealedDirectory

    def items(self, side: str) -> pd.DataFrame:
        """Return the items of a side: uid, text and images (paths relative to the raw folder), in raw order."""
        return read_items(self.file(f"items_{side}"))

    def relevance(self, split: str) -> csr_matrix:
        """Return the relevance of a split, CSR float32 [queries, labels]."""
        return read_matrix(self.file(f"relevance_{split}"))

    def filter(self, split: str) -> csr_matrix:
        """Return the pairs that are left out of a split's predictions, CSR float32 [queries, labels] of ones."""
        return read_matrix(self.file(f"filter_{split}"))

    def file(self, part: str) -> Path:
        """Return the file of one of `PARTS`."""
        return self.directory.path / file_name(part)


def build_dataset(parts: Mapping[str, Any], work: WorkDirectory) -> Built:
    """Write an ingested data set.

    Args:
        parts: Data frame or CSR matrix of each of `PARTS`.
        work: Work directory.
    """
    folder = work.fresh("dataset")
    for part in PARTS:
        if part.startswith("items_"):
            parts[part].to_parquet(folder / file_name(part), index=False)
        else:
            write_matrix(folder / file_name(part), parts[part])
    items = {side: len(parts[f"items_{side}"]) for side in Side}
    pairs = {split: int(parts[f"relevance_{split}"].nnz) for split in QUERY_SIDES}
    return Built(folder, KIND, {"items": items, "pairs": pairs})


def file_name(part: str) -> str:
    """Return the name of a part's file in the directory."""
    return f"{part}.parquet" if part.startswith("items_") else f"{part}.npz"
