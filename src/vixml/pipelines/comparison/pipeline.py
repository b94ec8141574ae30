"""The `comparison` pipeline.

items, relevance, filter --> compute_baselines --> baseline_metrics --+
{variant}.metrics (those that are there) ------------------------------+--> compare --> table, report, plot
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.params.composition import VARIANTS
from vixml.pipelines.comparison.nodes import compare, plot_comparison


def create_pipeline() -> Pipeline:
    """Return the pipeline that compares the variants."""
    return pipeline(
        [
            node(
                compare,
                inputs=["params:dataset", "baseline_metrics", *(f"{name}.metrics" for name in VARIANTS)],
                outputs=["comparison_table", "comparison_report"],
                name="compare",
            ),
            node(
                plot_comparison,
                inputs=["comparison_table", "params:dataset"],
                outputs="comparison_plot",
                name="plot_comparison",
            ),
        ]
    )
