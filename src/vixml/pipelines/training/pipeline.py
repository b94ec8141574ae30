"""The `training` stage of one variant, without a namespace.

dataset --> tokenise --> tokens --> train_warmup --> warmup
warmup, hard_negatives --> train_hard --> model, curve, refreshes
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.stage import with_images
from vixml.pipelines.training.nodes import tokenise, train_hard, train_warmup

_SETTINGS = ["params:variant", "params:evaluation", "params:seed", "params:resume"]


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
    """
    return pipeline(
        [
            node(tokenise, inputs=["params:variant", "dataset"], outputs="tokens", name="tokenise"),
            node(
                train_warmup,
                inputs=with_images([*_SETTINGS, "dataset", "tokens"], images=images),
                outputs="warmup",
                name="train_warmup",
            ),
            node(
                train_hard,
                inputs=with_images([*_SETTINGS, "dataset", "tokens", "warmup", "hard_negatives"], images=images),
                outputs=["model", "curve", "refreshes"],
                name="train_hard",
            ),
        ]
    )
