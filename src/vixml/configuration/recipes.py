"""Recipes: settings of a family by name, laid over the models' defaults and below the files.

They are data of this package (`recipes.yml`); a section `recipes` in a user's files changes them or adds others.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from vixml.core.errors import ConfigError

KINDS = ("text", "vision")
"""Parts of a recipe that hold for one of the family's two variants only."""

FAMILIES = ("encoder", "decoder")
"""Parts of a recipe that hold for one family only."""

_EXTENDS = "extends"


@cache
def packaged_recipes() -> Mapping[str, Any]:
    """Return the recipes that come with the package, by name."""
    import yaml

    text = resources.files("vixml.configuration").joinpath("recipes.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `top` laid over it, group by group; neither is changed."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def resolve(recipes: Mapping[str, Any], name: object, family: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what a recipe says of a family, with what it extends laid below it.

    Args:
        recipes: Recipes by name.
        name: The wanted one.
        family: `encoder` or `decoder`.
        seen: Those that extend it.

    Returns:
        Groups of settings, and under `text` and `vision` what holds for one of the two variants.

    Raises:
        ConfigError: There is none of this name (the nearest is named), it is no section, or it extends itself.
    """
    recipe = recipes.get(str(name))
    if not isinstance(recipe, Mapping):
        near = difflib.get_close_matches(str(name), list(recipes), n=1, cutoff=0.4)
        raise ConfigError(
            "there is no recipe of this name",
            found=name,
            expected="auto, null or one of " + ", ".join(recipes),
            remedy=f"did you mean `{near[0]}`?" if near else "see conf/README.md.",
        )
    if str(name) in seen:
        raise ConfigError("a recipe extends itself", found=" -> ".join([*seen, str(name)]))
    common = {key: value for key, value in recipe.items() if key not in (_EXTENDS, *FAMILIES)}
    own = overlay(common, recipe.get(family) or {})
    if recipe.get(_EXTENDS) is None:
        return own
    return overlay(resolve(recipes, recipe[_EXTENDS], family, (*seen, str(name))), own)


def split(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]]]:
    """Return what holds for both variants of the family, and for `text` and `vision` what holds for one."""
    common = {key: value for key, value in recipe.items() if key not in KINDS}
    return common, {kind: recipe.get(kind) or {} for kind in KINDS}
