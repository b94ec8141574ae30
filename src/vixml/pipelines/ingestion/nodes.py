"""Nodes of the `ingestion` pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure
from scipy.sparse import csr_matrix

from vixml.data.sides import QUERY_SIDES, Side
from vixml.params.data.ingestion import DataParams

INGESTED = (
    *(f"items_{side}" for side in Side),
    *(f"{kind}_{side}" for kind in ("relevance", "filter") for side in QUERY_SIDES),
)
"""What ingestion makes and all variants share."""


def ingest_raw(raw: Path, params: DataParams, seed: int) -> dict[str, Any]:
    """Read raw files into items, relevance, filters and a report, each under its name in the catalogue."""
    from vixml.ingestion.ingest import ingest

    found = ingest(raw, params, seed)
    return {**{name: getattr(found, name) for name in INGESTED}, "data_report": found.report}


def summarise_data(report: dict[str, Any]) -> pd.DataFrame:
    """Return the report's key figures as a table."""
    from vixml.ingestion.report import summary_table

    return summary_table(report)


def plot_label_frequencies(relevance_train: csr_matrix) -> Figure:
    """Draw training points per label."""
    from vixml.reporting.data_figures import label_frequency_figure

    return label_frequency_figure(relevance_train)


def draw_pictures(raw: Path, seed: int, items_train: pd.DataFrame, items_label: pd.DataFrame) -> bytes:
    """Put random pictures of training queries and labels on one sheet."""
    from vixml.reporting.picture_sheet import picture_sheet

    return picture_sheet({"Training queries": items_train, "Labels": items_label}, root=raw, seed=seed)
