"""The `ingestion` pipeline.

raw --> ingest_raw --> dataset, data_report --> summarise_data --> data_summary
dataset --> plot_label_frequencies --> label_frequency_plot
raw, dataset --> draw_pictures --> picture_sheet
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.ingestion.nodes import draw_pictures, ingest_raw, plot_label_frequencies, summarise_data
from vixml.pipelines.stage import DATA_BOX


def create_pipeline() -> Pipeline:
    """Return the pipeline from raw files to clean data."""
    return pipeline(
        [
            node(
                ingest_raw,
                inputs=["raw", "params:data", "params:seed"],
                outputs=["dataset", "data_report"],
                name="ingest_raw",
            ),
            node(summarise_data, inputs="data_report", outputs="data_summary", name="summarise_data"),
            node(
                plot_label_frequencies,
                inputs="dataset",
                outputs="label_frequency_plot",
                name="plot_label_frequencies",
            ),
            node(
                draw_pictures,
                inputs=["raw", "params:seed", "dataset"],
                outputs="picture_sheet",
                name="draw_pictures",
            ),
        ],
        namespace=DATA_BOX,
        prefix_datasets_with_namespace=False,
    )
