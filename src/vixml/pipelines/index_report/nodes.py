"""Nodes of the `index_report` pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure

from vixml.core.directories import SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.params.retrieval import IndexReportParams
from vixml.params.variant import VariantParams


@works_in("index_report_work")
def measure_indexes(
    params: IndexReportParams, variant: VariantParams, name: str, embeddings: SealedDirectory, *, work: WorkDirectory
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Build every candidate over the variant's labels and compare it with exact search."""
    from vixml.evaluation.stages import measure_indexes as measure

    rows = measure(params, variant, embeddings, work)
    return {"dataset": name, "indexes": rows}, pd.DataFrame(rows)


def plot_indexes(table: pd.DataFrame) -> Figure:
    """Draw recall against speed."""
    from vixml.reporting.index_figure import recall_and_speed

    return recall_and_speed(table)
