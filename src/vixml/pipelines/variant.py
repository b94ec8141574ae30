"""One template under a namespace for each variant: how a variant's pipeline comes from the stages.

    tokenise --> train_warmup --> refresh_hard_negatives --> train_hard --> embed --> index --> evaluate --> archive_run

Inside a namespace every data set carries its prefix (`encoder_text.tokens`); the ingested data, the image bank and the
shared parameters do not. A text variant takes no image bank.
"""

from __future__ import annotations

from types import ModuleType

from kedro.pipeline import Pipeline, pipeline

from vixml.configuration.compose import VARIANTS, uses_images
from vixml.pipelines import evaluation, hard_negative_refresh, training

SHARED_INPUTS = frozenset({"dataset", "image_bank", "soft_labels"})
"""Data sets that the variants share; all others get the variant's prefix."""

SHARED_PARAMETERS = frozenset(
    {"params:seed", "params:resume", "params:dataset", "params:evaluation", "params:run_name"}
) | {"params:index_report", "params:label_update"}
"""Parameters that the variants share; `params:variant` becomes the variant's own section."""


def create_pipeline(name: str, *, soft_labels: bool = False) -> Pipeline:
    """Return one variant, end to end from the ingested data.

    Args:
        name: The variant.
        soft_labels: Whether it learns from a teacher's soft labels.
    """
    images = uses_images(name)
    stages = [stage.create_pipeline(images=images) for stage in (hard_negative_refresh, evaluation)]
    learn = training.create_pipeline(images=images, soft_labels=soft_labels)
    return under_namespace(sum(stages, learn), name)


def over_variants(*stages: ModuleType) -> Pipeline:
    """Return the given stages over all variants."""
    return sum(
        (
            under_namespace(stage.create_pipeline(images=uses_images(name)), name)
            for name in VARIANTS
            for stage in stages
        ),
        Pipeline([]),
    )


def under_namespace(template: Pipeline, name: str) -> Pipeline:
    """Put a stage under the namespace of the variant `name`."""
    used = {dataset for node in template.nodes for dataset in node.inputs}
    return pipeline(
        template,
        namespace=name,
        inputs=used & SHARED_INPUTS,
        parameters={
            **{parameter: parameter for parameter in used & SHARED_PARAMETERS},
            **({"params:variant": f"params:{name}"} if "params:variant" in used else {}),
        },
        tags=[name],
    )
