"""The `ingestion` pipeline.

raw --> ingest_raw --> items_*, relevance_*, filter_*, data_report --> data_summary
relevance_train --> label_frequency_plot
raw, items_train, items_label --> draw_pictures --> picture_sheet
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.ingestion.nodes import (
    INGESTED,
    draw_pictures,
    ingest_raw,
    plot_label_frequencies,
    summarise_data,
)


def create_pipeline() -> Pipeline:
    """Return the pipeline from raw files to clean data."""
    return pipeline(
        [
            node(
                ingest_raw,
                inputs=["raw", "params:data", "params:seed"],
                outputs={name: name for name in (*INGESTED, "data_report")},
                name="ingest_raw",
            ),
            node(summarise_data, inputs="data_report", outputs="data_summary", name="summarise_data"),
            node(
                plot_label_frequencies,
                inputs="relevance_train",
                outputs="label_frequency_plot",
                name="plot_label_frequencies",
            ),
            node(
                draw_pictures,
                inputs=["raw", "params:seed", "items_train", "items_label"],
                outputs="picture_sheet",
                name="draw_pictures",
            ),
        ]
    )
