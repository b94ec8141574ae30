"""Layers of settings: defaults < recipe < files < command line, and within each of them family < variant.

Every setting of a section is the topmost layer's that has it, so the same stack answers what a setting is and where it
comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vixml.configuration.recipes import overlay

Origin = Literal["default", "recipe", "file", "command line", "follows"]


@dataclass(frozen=True)
class Layer:
    """Settings of one origin.

    Args:
        origin: Which kind of origin.
        source: The recipe; or the section that the settings are written in (`encoder`, `encoder_backbone`, ...); or the
            setting that they follow.
        values: Groups of settings.
    """

    origin: Origin
    source: str
    values: Mapping[str, Any]


def flat(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the layers laid over each other, the last one on top."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = overlay(merged, layer.values)
    return merged


def at(values: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Return whether there is a value under a dotted path, and it.

    A value in the place of a group (`lora: null`) stands for all settings of the group.
    """
    found: Any = values
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return True, found
        if part not in found:
            return False, None
        found = found[part]
    return True, found


def top_layer(layers: Sequence[Layer], path: str) -> int:
    """Return the number of the layer that a setting comes from; -1 where none has it."""
    return next((number for number in reversed(range(len(layers))) if at(layers[number].values, path)[0]), -1)


def nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return `value` below nested groups of these names."""
    for key in reversed(path):
        value = {key: value}
    found: dict[str, Any] = value
    return found
