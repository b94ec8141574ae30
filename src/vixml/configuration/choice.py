"""Which recipe `auto` takes: by the data, their number of training queries, the backbone and the device.

The table of sizes is `SIZES`; what the recipes hold is `recipes.yml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vixml.configuration.recipes import resolve

AUTO = "auto"
"""Value of `encoder_recipe` and `decoder_recipe`: take the recipe that fits."""

DEMO = "demo"
"""The demo's data set and its recipe."""

TINY = "tiny"
"""Name of the project's own random networks, and of the recipe that trains them on other data than the demo's."""

SIZES: tuple[tuple[int, str], ...] = ((20_000, "small-data"), (200_000, "medium-data"))
"""Most training queries of a recipe for pretrained networks. Measured at 10,000 and at 40,000 (encoders); the limits in
between are not. Larger data take a published recipe."""

PUBLISHED: dict[str, tuple[str, ...]] = {
    "encoder": ("distilbert", "bert", "minilm-l3"),
    "decoder": (
        "qwen2.5-0.5b",
        *("qwen2.5-3b", "qwen2.5-7b", "llama-3.2-3b", "qwen3-4b", "qwen3-embedding-4b", "gemma-3-4b"),
    ),
}
"""Published recipes of each family; that of the chosen backbone, or else the first, is for large data on a GPU."""


@dataclass(frozen=True)
class DataFacts:
    """What the choice needs to know of data and machine.

    Args:
        demo: Whether the data are the demo's.
        count: Returns the number of training queries, None where that is unknown; called only if it matters.
        gpu: Whether there is a GPU.
    """

    demo: bool
    count: Callable[[], int | None]
    gpu: bool


def choose_recipe(family: str, backbone: str | None, facts: DataFacts, recipes: Mapping[str, Any]) -> str:
    """Return the recipe that `auto` stands for.

    The demo's data take `demo`. On other data, the random network `tiny` takes the recipe of its name; a pretrained one
    takes the recipe for the number of training queries (`SIZES`). Above the last size a machine with a GPU takes a
    published recipe; without one, hundreds of epochs would take weeks, so that it stays at the largest size. Where the
    number is unknown, the smallest size is taken.

    Args:
        family: `encoder` or `decoder`.
        backbone: The network that the user named; None for the recipe's own.
        facts: Data and machine.
        recipes: All recipes by name.
    """
    if facts.demo:
        return DEMO
    if backbone == TINY:
        return TINY
    count = facts.count() or 0
    for most, name in SIZES:
        if count <= most:
            return name
    if not facts.gpu:
        return SIZES[-1][1]
    published = PUBLISHED[family]
    names = {resolve(recipes, name, family).get("backbone", {}).get("name"): name for name in published}
    return names.get(backbone, published[0])


def describe_choice(chosen: Mapping[str, str | None], facts: DataFacts | None) -> str:
    """Return one line that says which recipes a run takes, why, and how to choose others.

    Args:
        chosen: Family -> recipe.
        facts: What `auto` looked at; None where recipes were named.
    """
    listed = ", ".join(f"{name or 'none'} ({family})" for family, name in chosen.items())
    if facts is None:
        why = "as set"
    elif facts.demo:
        why = "for the demo's data"
    else:
        count = facts.count()
        size = f"about {count:,} training queries" if count is not None else "an unknown number of training queries"
        why = f"for {size} and {'a' if facts.gpu else 'no'} GPU"
    others = ",".join(f"{family}_recipe=NAME" for family in chosen)
    return f'Recipe: {listed}, {why}. To choose another: --params "{others}" (`vixml settings` shows what is in force).'
