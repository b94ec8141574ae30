"""The `evaluation` stage of one variant, without a namespace.

model, tokens --> embed --> embeddings --> index --> tune_ranking --> ranking --> evaluate --> metrics, predictions
model, embeddings, index, ranking, items --> bundle --> predictor
metrics, predictions, curve, refreshes --> archive_run --> runs (a folder of all runs, the newest added)
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.evaluation.nodes import archive_run, bundle, embed, evaluate, index, tune_ranking
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
                inputs=with_images([*COMMON, "model", "work"], images=images),
                outputs="embeddings",
                name="embed",
            ),
            node(index, inputs=["params:variant", "embeddings", "work"], outputs="index", name="index"),
            node(
                tune_ranking,
                inputs=[
                    "params:variant",
                    "params:evaluation",
                    "embeddings",
                    "index",
                    "relevance_train",
                    "relevance_validation",
                    "filter_validation",
                ],
                outputs="ranking",
                name="tune_ranking",
            ),
            node(
                bundle,
                inputs=with_images(
                    [
                        "params:variant",
                        "params:dataset",
                        "model",
                        "embeddings",
                        "index",
                        "ranking",
                        "items_train",
                        "items_label",
                        "relevance_train",
                        "work",
                    ],
                    images=images,
                ),
                outputs="predictor",
                name="bundle",
            ),
            node(
                evaluate,
                inputs=[
                    "params:variant",
                    "params:evaluation",
                    "params:dataset",
                    "model",
                    "embeddings",
                    "index",
                    "ranking",
                    "items_test",
                    "relevance_train",
                    "relevance_test",
                    "filter_test",
                    "work",
                ],
                outputs=["metrics", "predictions"],
                name="evaluate",
            ),
            node(
                archive_run,
                inputs=[
                    "params:variant",
                    "params:evaluation",
                    "params:seed",
                    "params:run_name",
                    "metrics",
                    "predictions",
                    "curve",
                    "refreshes",
                    "items_test",
                    "items_label",
                    "relevance_train",
                    "relevance_test",
                    "filter_test",
                    "work",
                ],
                outputs="runs",
                name="archive_run",
            ),
        ]
    )
