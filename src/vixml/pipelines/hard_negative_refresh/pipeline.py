"""The `hard_negative_refresh` stage of one variant, without a namespace.

warmup, tokens, relevance_train --> refresh_hard_negatives --> hard_negatives, refresh_report
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.hard_negative_refresh.nodes import refresh_hard_negatives
from vixml.pipelines.stage import COMMON, with_images


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
    """
    return pipeline(
        [
            node(
                refresh_hard_negatives,
                inputs=with_images([*COMMON, "warmup", "work"], images=images),
                outputs=["hard_negatives", "refresh_report"],
                name="refresh_hard_negatives",
            )
        ]
    )
