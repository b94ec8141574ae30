"""The `index_report` pipeline of one variant, without a namespace.

embeddings --> measure_indexes --> index_report, index_table --> plot_indexes --> index_plot
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.index_report.nodes import measure_indexes, plot_indexes


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the pipeline.

    Args:
        images: Makes no difference: embeddings are compared.
    """
    del images
    inputs = ["params:index_report", "params:variant", "params:dataset", "embeddings"]
    return pipeline(
        [
            node(measure_indexes, inputs=inputs, outputs=["index_report", "index_table"], name="measure_indexes"),
            node(plot_indexes, inputs="index_table", outputs="index_plot", name="plot_indexes"),
        ]
    )
