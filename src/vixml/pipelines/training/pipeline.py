"""The `training` stage of one variant, without a namespace.

dataset --> tokenise --> tokens --> train_warmup --> warmup
warmup, hard_negatives --> train_hard --> model, curve, refreshes
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.pipelines.training.nodes import tokenise, train_hard, train_warmup


def create_pipeline(*, images: bool, soft_labels: bool = False) -> Pipeline:
    """Return the template of the stage.

    Args:
        images: Whether the variant reads the image bank.
        soft_labels: Whether it learns from a teacher's soft labels.
    """
    both = {
        "params": "params:variant",
        **{name: f"params:{name}" for name in ("evaluation", "seed", "resume")},
        **{name: name for name in ("dataset", "tokens")},
        **({"image_bank": "image_bank"} if images else {}),
        **({"soft_labels": "soft_labels"} if soft_labels else {}),
    }
    return pipeline(
        [
            node(tokenise, inputs=["params:variant", "dataset"], outputs="tokens", name="tokenise"),
            node(train_warmup, inputs=both, outputs="warmup", name="train_warmup"),
            node(
                train_hard,
                inputs={**both, "warmup": "warmup", "hard_negatives": "hard_negatives"},
                outputs=["model", "curve", "refreshes"],
                name="train_hard",
            ),
        ]
    )
