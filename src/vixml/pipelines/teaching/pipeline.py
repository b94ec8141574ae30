"""The pipeline `teaching`; its student is `encoder_text`, in the pipeline `distillation`.

dataset, image_bank, {variant}.embeddings (those that are there) --> teach --> soft_labels

One pipeline of both would draw a circle: from a teacher's output to a student's input.
"""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from vixml.configuration.compose import VARIANTS
from vixml.pipelines.stage import OPTIONAL
from vixml.pipelines.teaching.nodes import teach

STUDENT = "encoder_text"
"""The variant that learns: the smallest that is served, and the only one that cannot teach."""


def create_pipeline() -> Pipeline:
    """Return the pipeline."""
    shared = {name: name for name in ("dataset", "image_bank")}
    settings = {"params": "params:distillation", "evaluation": "params:evaluation"}
    teachers = {name: f"{name}.embeddings" for name in VARIANTS if name != STUDENT}
    return pipeline(
        [node(teach, inputs={**settings, **shared, **teachers}, outputs="soft_labels", name="teach", tags=OPTIONAL)]
    )
