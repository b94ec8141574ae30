"""Every setting in force and where it comes from: what `vixml settings` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vixml.configuration.layers import Layer, at, flat, top_layer
from vixml.core.provenance import flatten


@dataclass(frozen=True)
class Setting:
    """A setting in force.

    Args:
        name: Dotted name.
        value: Its value.
        origin: `default`, `recipe NAME`, `file PATH`, `command line`, or `follows SETTING`.
    """

    name: str
    value: Any
    origin: str


def settings_in_force(
    parameters: Mapping[str, Any],
    runtime: Mapping[str, Any],
    recipes: Mapping[str, str | None],
    stacks: Mapping[str, list[Layer]],
    files: dict[str, Any],
) -> list[Setting]:
    """Return all settings: those of no section first, then section by section.

    Args:
        parameters: The merged configuration.
        runtime: What of it the command line gave.
        recipes: Family -> recipe, `auto` replaced by what it stands for.
        stacks: Section -> its layers.
        files: Path -> content of each configuration file, in the order in which they are merged.
    """
    found = []
    for name, value in parameters.items():
        if name not in stacks and name != "recipes":
            given = "command line" if name in runtime else _file(files, name)
            chosen = recipes.get(name.removesuffix("_recipe")) if name.endswith("_recipe") else value
            found.append(Setting(name, value if chosen == value else f"{value} ({chosen})", given))
    for section, layers in stacks.items():
        for path, value in flatten(flat(layers)).items():
            layer = layers[top_layer(layers, path)]
            found.append(Setting(f"{section}.{path}", value, _origin(layer, path, files)))
    return found


def _origin(layer: Layer, path: str, files: dict[str, Any]) -> str:
    if layer.origin == "file":
        return _file(files, f"{layer.source}.{path}")
    return layer.origin if layer.origin in ("default", "command line") else f"{layer.origin} {layer.source}"


def _file(files: dict[str, Any], path: str) -> str:
    """Return which file a setting was read from, the last one that has it."""
    shortcut = path.partition(".")[0]
    wanted = shortcut if shortcut.endswith("_backbone") else path
    return next((f"file {name}" for name in reversed(files) if at(files[name], wanted)[0]), "default")
