"""The `comparison` pipeline.

items, relevance, filter --> compute_baselines --> baseline_metrics --+
{variant}.metrics (those that are there) ------------------------------+--> compare --> table, report, plot
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.params.composition import VARIANTS
from vixml.pipelines.comparison.nodes import compare, compute_baselines, plot_comparison
from vixml.pipelines.stage import OPTIONAL


def create_pipeline() -> Pipeline:
    """Return the pipeline that compares the variants."""
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
                inputs=["params:dataset", "baseline_metrics", *(f"{name}.metrics" for name in VARIANTS)],
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
        ]
    )
