"""The `image_embedding` pipeline.

raw, dataset --> embed_images --> image_bank, image_report
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.image_embedding.nodes import embed_images
from vixml.pipelines.stage import DATA_BOX


def create_pipeline() -> Pipeline:
    """Return the pipeline that builds the image bank."""
    return pipeline(
        [
            node(
                embed_images,
                inputs=["raw", "dataset", "params:vision", "params:seed"],
                outputs=["image_bank", "image_report"],
                name="embed_images",
            )
        ],
        namespace=DATA_BOX,
        prefix_datasets_with_namespace=False,
    )
