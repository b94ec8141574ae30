"""The `hard_negative_refresh` stage of one variant, without a namespace.

warmup, tokens, dataset --> refresh_hard_negatives --> hard_negatives (its facts are the report of what changed)
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.hard_negative_refresh.nodes import refresh_hard_negatives
from vixml.pipelines.stage import with_images


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
    """
    inputs = with_images(["params:variant", "params:seed", "dataset", "tokens", "warmup"], images=images)
    return pipeline(
        [node(refresh_hard_negatives, inputs=inputs, outputs="hard_negatives", name="refresh_hard_negatives")]
    )
