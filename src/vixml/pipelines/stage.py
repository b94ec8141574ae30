"""What nodes of several pipelines have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vixml.core.directories import SealedDirectory
from vixml.data.dataset import Dataset
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams

if TYPE_CHECKING:
    from vixml.training.variant_data import VariantData

DATA_BOX = "data"
"""Namespace of ingestion and image embedding: one box in Kedro-Viz, from raw files to what all variants share."""

OPTIONAL = "takes_what_is_there"
"""Tag of nodes that do without inputs that are not there (their data sets are `missing_ok` and load as None)."""


_NOT_READ = EvaluationParams()  # of stages that measure nothing


def variant_data(
    params: VariantParams,
    dataset: Dataset,
    tokens: SealedDirectory,
    image_bank: SealedDirectory | None,
    *,
    evaluation: EvaluationParams = _NOT_READ,
    seed: int = 0,
    soft_labels: SealedDirectory | None = None,
) -> VariantData:
    """Bundle what the library's stages read; a stage that measures nothing or draws nothing leaves out the rest."""
    from vixml.training.variant_data import VariantData

    return VariantData.of(
        params, dataset, tokens, image_bank, evaluation=evaluation, seed=seed, soft_labels=soft_labels
    )


def with_images(inputs: list[str], *, images: bool) -> list[str]:
    """Return the inputs of a node, the image bank last where the variant looks at images."""
    return [*inputs, "image_bank"] if images else inputs
