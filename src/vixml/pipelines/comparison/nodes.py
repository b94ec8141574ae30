"""Nodes of the `comparison` pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from plotly.graph_objects import Figure

from vixml.core.directories import SealedDirectory
from vixml.data.dataset import Dataset
from vixml.evaluation.archive import RunArchive
from vixml.params.comparison import ComparisonParams
from vixml.params.evaluation import BaselineParams, EvaluationParams

if TYPE_CHECKING:
    from vixml.reporting.compare import TestSet


def compute_baselines(
    params: BaselineParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    image_bank: SealedDirectory | None,
) -> dict[str, Any]:
    """Measure label frequency, nearest neighbours (by image too, where there is an image bank), and a linear tree."""
    from vixml.evaluation.baselines import Validation, baseline_metrics
    from vixml.images.bank import ImageBank

    return baseline_metrics(
        dataset.items("train"),
        dataset.items("test"),
        relevance_train=dataset.relevance("train"),
        relevance_test=dataset.relevance("test"),
        filter_test=dataset.filter("test"),
        params=params,
        evaluation=evaluation,
        bank=None if image_bank is None else ImageBank.open(image_bank.path),
        validation=Validation(
            dataset.items("validation")["text"].tolist(), dataset.relevance("validation"), dataset.filter("validation")
        ),
    )


def compare(
    params: ComparisonParams,
    runs: str,
    seed: int,
    name: str,
    baselines: dict[str, Any] | None,
    dataset: Dataset,
    *archives: RunArchive,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Put baselines and the chosen runs side by side, in the order of `archives`."""
    from vixml.reporting.compare import compare_runs
    from vixml.reporting.table import comparison_table

    report = compare_runs(
        {archive.variant: archive.runs for archive in archives},
        runs,
        params,
        data=test_set_of(dataset),
        baselines=baselines,
        dataset=name,
        seed=seed,
    )
    return comparison_table(report["variants"], baselines, report["intervals"], metric=report["metric"]), report


def plot_comparison(table: pd.DataFrame, name: str) -> Figure:
    """Draw the comparison."""
    from vixml.reporting.figures import comparison

    return comparison(table, title=f"{name}: metrics in percent")


def write_tables(table: pd.DataFrame, report: dict[str, Any]) -> tuple[str, str]:
    """Write the comparison as Markdown and LaTeX."""
    from vixml.reporting.text_tables import latex_table, markdown_table

    return markdown_table(table, report), latex_table(table, report)


def write_report(
    params: ComparisonParams,
    seed: int,
    report: dict[str, Any],
    table: pd.DataFrame,
    data_report: dict[str, Any],
    raw: Path,
    dataset: Dataset,
    *archives: RunArchive,
) -> str:
    """Write the HTML report."""
    from vixml.reporting.gallery import build_gallery
    from vixml.reporting.html import render
    from vixml.reporting.selection import compared_runs

    chosen = compared_runs({archive.variant: archive.runs for archive in archives}, report)
    gallery = build_gallery(chosen, test_set_of(dataset), params, root=raw, seed=seed)
    return render(report, table, data_report, gallery)


def check_regression(report: dict[str, Any], report_html: str) -> dict[str, Any]:
    """Fail if a run is too far below its baseline; takes the HTML report so that it is written first."""
    from vixml.reporting.compare import require_no_regression

    return require_no_regression(report)


def test_set_of(dataset: Dataset) -> TestSet:
    """Return what runs of this data set are measured on."""
    from vixml.reporting.compare import TestSet

    return TestSet(
        dataset.items("test"),
        dataset.items("label"),
        dataset.relevance("test"),
        dataset.filter("test"),
        dataset.relevance("train"),
    )
