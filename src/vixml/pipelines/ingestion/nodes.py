"""Nodes of the `ingestion` pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure

from vixml.core.directories import Built, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import PARTS, Dataset, build_dataset
from vixml.params.data.ingestion import DataParams


@works_in("dataset_work")
def ingest_raw(raw: Path, params: DataParams, seed: int, *, work: WorkDirectory) -> tuple[Built, dict[str, Any]]:
    """Read raw files into one data set of items, relevance and filters, and a report."""
    from vixml.ingestion.ingest import ingest

    ingested = ingest(raw, params, seed)
    return build_dataset({part: getattr(ingested, part) for part in PARTS}, work), ingested.report


def summarise_data(report: dict[str, Any]) -> pd.DataFrame:
    """Return the report's key figures as a table."""
    from vixml.ingestion.report import summary_table

    return summary_table(report)


def plot_label_frequencies(dataset: Dataset) -> Figure:
    """Draw training points per label."""
    from vixml.reporting.data_figures import label_frequency_figure

    return label_frequency_figure(dataset.relevance("train"))


def draw_pictures(raw: Path, seed: int, dataset: Dataset) -> bytes:
    """Put random pictures of training queries and labels on one sheet."""
    from vixml.reporting.picture_sheet import picture_sheet

    sides = {"Training queries": dataset.items("train"), "Labels": dataset.items("label")}
    return picture_sheet(sides, root=raw, seed=seed)
