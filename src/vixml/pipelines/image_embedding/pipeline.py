"""The `image_embedding` pipeline.

raw, items_* --> embed_images --> image_bank --> report_images --> image_report
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.image_embedding.nodes import embed_images, report_images


def create_pipeline() -> Pipeline:
    """Return the pipeline that builds the image bank."""
    items = [f"items_{side}" for side in ("train", "validation", "test", "label")]
    return pipeline(
        [
            node(
                embed_images,
                inputs=["raw", *items, "params:vision", "params:seed", "image_work"],
                outputs="image_bank",
                name="embed_images",
            ),
            node(report_images, inputs="image_bank", outputs="image_report", name="report_images"),
        ]
    )
