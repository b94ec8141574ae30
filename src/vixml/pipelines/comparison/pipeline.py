"""The `comparison` pipeline.

dataset, image_bank --> compute_baselines --> baseline_metrics --+
{variant}.runs (those that are there) ---------------------------+--> compare --> table, report --> plot, tables
raw, dataset, data_report, comparison_report --> write_report --> report_html --> check_regression
"""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline, node, pipeline

from vixml.configuration.compose import VARIANTS
from vixml.pipelines.comparison.nodes import (
    check_regression,
    compare,
    compute_baselines,
    plot_comparison,
    write_report,
    write_tables,
)
from vixml.pipelines.stage import OPTIONAL


def create_pipeline() -> Pipeline:
    """Return the pipeline that compares the four variants."""
    return pipeline(template(VARIANTS), namespace="comparison", prefix_datasets_with_namespace=False)


def template(variants: Iterable[str]) -> Pipeline:
    """Return the pipeline that compares runs, without a namespace.

    Args:
        variants: Whose runs, in the order of the tables.
    """
    archives = [f"{name}.runs" for name in variants]
    return pipeline([*_measuring(archives), *_reporting(archives)])


def _measuring(archives: list[str]) -> list[Node]:
    return [
        node(
            compute_baselines,
            inputs=["params:baselines", "params:evaluation", "dataset", "image_bank"],
            outputs="baseline_metrics",
            name="compute_baselines",
            tags=[OPTIONAL],
        ),
        node(
            compare,
            inputs=[
                "params:comparison",
                "params:runs",
                "params:seed",
                "params:dataset",
                "baseline_metrics",
                "dataset",
                *archives,
            ],
            outputs=["comparison_table", "comparison_report"],
            name="compare",
            tags=[OPTIONAL],
        ),
    ]


def _reporting(archives: list[str]) -> list[Node]:
    return [
        node(
            plot_comparison,
            inputs=["comparison_table", "params:dataset"],
            outputs="comparison_plot",
            name="plot_comparison",
        ),
        node(
            write_tables,
            inputs=["comparison_table", "comparison_report"],
            outputs=["comparison_markdown", "comparison_latex"],
            name="write_tables",
        ),
        node(
            write_report,
            inputs=[
                "params:comparison",
                "params:seed",
                "comparison_report",
                "comparison_table",
                "data_report",
                "raw",
                "dataset",
                *archives,
            ],
            outputs="report_html",
            name="write_report",
            tags=[OPTIONAL],
        ),
        node(
            check_regression,
            inputs=["comparison_report", "report_html"],
            outputs="regression_check",
            name="check_regression",
        ),
    ]
