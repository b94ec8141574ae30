"""Nodes of the `comparison` pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure
from scipy.sparse import csr_matrix

from vixml.core.directories import SealedDirectory
from vixml.params.composition import VARIANTS
from vixml.params.evaluation import BaselineParams, EvaluationParams


def compute_baselines(
    params: BaselineParams,
    evaluation: EvaluationParams,
    items_train: pd.DataFrame,
    items_test: pd.DataFrame,
    relevance_train: csr_matrix,
    relevance_test: csr_matrix,
    filter_test: csr_matrix,
    image_bank: SealedDirectory | None,
) -> dict[str, Any]:
    """Measure label frequency and nearest neighbours, by text and, where there is an image bank, by image."""
    from vixml.data.image_bank import ImageBank
    from vixml.evaluation.baselines import baseline_metrics

    return baseline_metrics(
        items_train,
        items_test,
        relevance_train=relevance_train,
        relevance_test=relevance_test,
        filter_test=filter_test,
        params=params,
        evaluation=evaluation,
        bank=None if image_bank is None else ImageBank.open(image_bank.path),
    )


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
