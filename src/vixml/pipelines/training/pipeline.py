"""The `training` stage of one variant, without a namespace.

items_* --> tokenise --> tokens --> train_warmup --> warmup
warmup, hard_negatives --> train_hard --> model, curve, refreshes --> plot_curve
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.stage import COMMON, with_images
from vixml.pipelines.training.nodes import plot_curve, tokenise, train_hard, train_warmup


def create_pipeline(*, images: bool) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
    """
    items = [f"items_{side}" for side in ("train", "validation", "test", "label")]
    return pipeline(
        [
            node(tokenise, inputs=["params:variant", *items, "work"], outputs="tokens", name="tokenise"),
            node(
                train_warmup,
                inputs=with_images([*COMMON, "params:resume", "training_work"], images=images),
                outputs="warmup",
                name="train_warmup",
            ),
            node(
                train_hard,
                inputs=with_images(
                    [*COMMON, "params:resume", "warmup", "hard_negatives", "training_work"], images=images
                ),
                outputs=["model", "curve", "refreshes"],
                name="train_hard",
            ),
            node(plot_curve, inputs=["curve", "training_work"], outputs="curve_plot", name="plot_curve"),
        ]
    )
