"""The `evaluation` stage of one variant, without a namespace.

model, tokens --> embed --> embeddings --> index --> evaluate --> metrics, predictions
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.evaluation.nodes import embed, evaluate, index
from vixml.pipelines.stage import COMMON, with_images


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
    """
    return pipeline(
        [
            node(
                embed,
                inputs=with_images([*COMMON, "model", "embeddings_work"], images=images),
                outputs="embeddings",
                name="embed",
            ),
            node(index, inputs=["params:variant", "embeddings", "index_work"], outputs="index", name="index"),
            node(
                evaluate,
                inputs=[
                    "params:variant",
                    "params:evaluation",
                    "params:dataset",
                    "model",
                    "embeddings",
                    "index",
                    "relevance_train",
                    "relevance_test",
                    "filter_test",
                    "predictions_work",
                ],
                outputs=["metrics", "predictions"],
                name="evaluate",
            ),
        ]
    )
