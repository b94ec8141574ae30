"""The pipelines `distillation` (a text encoder learns) and `distillation_vision` (an encoder with images learns).

dataset, image_bank, {variant}.embeddings (those that are there) --> teach --> soft_labels
soft_labels --> the student, a variant end to end from the ingested data
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.configuration.compose import VARIANTS
from vixml.pipelines import variant
from vixml.pipelines.distillation.nodes import teach
from vixml.pipelines.stage import OPTIONAL


def create_pipeline(student: str) -> Pipeline:
    """Return the pipeline of a teacher and one student.

    Args:
        student: The variant that learns.
    """
    shared = {name: name for name in ("dataset", "image_bank")}
    settings = {"params": "params:distillation", "evaluation": "params:evaluation"}
    teachers = {name: f"{name}.embeddings" for name in VARIANTS if name != student}
    return variant.create_pipeline(student, soft_labels=True) + pipeline(
        [
            node(
                teach,
                inputs={**settings, **shared, **teachers},
                outputs="soft_labels",
                name="teach",
                tags=OPTIONAL,
            )
        ]
    )
