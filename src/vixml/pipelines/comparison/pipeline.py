"""The `comparison` pipeline.

items, relevance, filter --> compute_baselines --> baseline_metrics --+
{variant}.runs (those that are there) ---------------------------------+--> compare --> table, report --> plot, tables
raw, items, data_report, comparison_report --> write_report --> report_html --> check_regression
"""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node, pipeline

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

_TEST_SET = ["items_test", "items_label", "relevance_test", "filter_test", "relevance_train"]


def create_pipeline(variants: Iterable[str] = VARIANTS) -> Pipeline:
    """Return the pipeline that compares runs.

    Args:
        variants: Whose runs, in the order of the tables.
    """
    archives = [f"{name}.runs" for name in variants]
    return pipeline(
        [
            node(
                compute_baselines,
                inputs=[
                    "params:baselines",
                    "params:evaluation",
                    "items_train",
                    "items_test",
                    "relevance_train",
                    "relevance_test",
                    "filter_test",
                    "image_bank",
                ],
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
                    *_TEST_SET,
                    *archives,
                ],
                outputs=["comparison_table", "comparison_report"],
                name="compare",
                tags=[OPTIONAL],
            ),
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
                    *_TEST_SET,
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
    )
