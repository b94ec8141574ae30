"""Node of the `image_embedding` pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vixml.core.directories import Built, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import Dataset
from vixml.params.data.vision import VisionParams


@works_in("image_work")
def embed_images(
    raw: Path, dataset: Dataset, params: VisionParams, seed: int, *, work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Turn every unique image into one frozen vector; return the bank, and its report of counts, failures, speed."""
    from vixml.images.bank import bank_of_dataset

    bank = bank_of_dataset(raw, dataset, params, seed, work)
    return bank, dict(bank.meta["report"])
