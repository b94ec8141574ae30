"""The `fabrication` pipeline.

fabrication, seed --> fabricate_catalogue --> raw
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.fabrication.nodes import fabricate_catalogue


def create_pipeline() -> Pipeline:
    """Return the pipeline that writes the demo data."""
    return pipeline(
        [
            node(
                fabricate_catalogue,
                inputs=["params:fabrication", "params:seed"],
                outputs="raw",
                name="fabricate_catalogue",
            )
        ]
    )
