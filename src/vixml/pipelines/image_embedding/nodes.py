"""Nodes of the `image_embedding` pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.params.data.vision import VisionParams


def embed_images(
    raw: Path,
    items_train: pd.DataFrame,
    items_validation: pd.DataFrame,
    items_test: pd.DataFrame,
    items_label: pd.DataFrame,
    params: VisionParams,
    seed: int,
    work: WorkDirectory,
) -> Built:
    """Turn every unique image into one frozen vector."""
    from vixml.images.bank import build_image_bank

    items = {"train": items_train, "validation": items_validation, "test": items_test, "label": items_label}
    return build_image_bank(raw, items, params, seed, work)


def report_images(bank: SealedDirectory) -> dict[str, Any]:
    """Return the report that the bank carries: counts, failures, speed."""
    return dict(bank.meta["report"])
