"""The `image_download` pipeline.

raw --> fetch_images --> download_report, download_failures (and images in the raw folder)
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.image_download.nodes import fetch_images


def create_pipeline() -> Pipeline:
    """Return the pipeline that fetches images from the web."""
    return pipeline(
        [
            node(
                fetch_images,
                inputs=["raw", "params:data", "params:download"],
                outputs=["download_report", "download_failures"],
                name="fetch_images",
            )
        ]
    )
