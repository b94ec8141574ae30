"""What the nodes of a variant's stages have in common: the same first inputs, in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vixml.training.variant_data import VariantData

COMMON = [
    "params:variant",
    "params:evaluation",
    "params:seed",
    "tokens",
    "relevance_train",
    "relevance_validation",
    "filter_validation",
]
"""First inputs of every node that trains or embeds; `stage_inputs` takes their values in this order."""

OPTIONAL = "takes_what_is_there"
"""Tag of nodes that do without inputs that are not there (their data sets are `missing_ok` and load as None)."""


def stage_inputs(*common: Any, image_bank: Any) -> VariantData:
    """Bundle the values of `COMMON` and the image bank (None for a text variant) for the library."""
    from vixml.training.variant_data import VariantData

    params, evaluation, seed, tokens, *matrices = common
    return VariantData(params, evaluation, seed, tokens, image_bank, *matrices)


def with_images(inputs: list[str], *, images: bool) -> list[str]:
    """Return the inputs of a node, the image bank last where the variant looks at images."""
    return [*inputs, "image_bank"] if images else inputs
