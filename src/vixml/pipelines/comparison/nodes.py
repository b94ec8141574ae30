"""Nodes of the `comparison` pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure

from vixml.params.composition import VARIANTS


def compare(
    dataset: str, baselines: dict[str, Any] | None, *documents: dict[str, Any] | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Put baselines and all evaluated variants side by side.

    Args:
        dataset: Name of the data set.
        baselines: Metrics of each baseline.
        documents: Metrics document of each variant, in the order of `VARIANTS`; None where there is none.
    """
    from vixml.reporting.table import comparison_report, comparison_table

    results = dict(zip(VARIANTS, documents, strict=True))
    return comparison_table(results, baselines), comparison_report(results, baselines, dataset=dataset)


def plot_comparison(table: pd.DataFrame, dataset: str) -> Figure:
    """Draw the comparison."""
    from vixml.reporting.figures import comparison

    return comparison(table, title=f"{dataset}: metrics in percent")
