"""Names of classes, which Parquet files of Hugging Face `datasets` keep in the metadata of columns of numbers."""

from __future__ import annotations

import json
from typing import Any


def class_names(metadata: bytes | None) -> dict[str, list[str]]:
    """Return column -> names of its classes; empty where the metadata names none.

    Args:
        metadata: The value of the key `huggingface` of the file's schema.
    """
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
        return {str(name): names for name, feature in features.items() if (names := _names(feature))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _names(feature: Any) -> list[str]:
    """Return the names of a feature that is a class or a list of classes; none of any other."""
    while True:
        if isinstance(feature, list) and feature:
            feature = feature[0]
        elif isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
        else:
            break
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names if len(set(names)) == len(names) else []


def named_classes(cells: list[Any], names: list[str] | None) -> list[Any]:
    """Return cells with names in place of numbers; -1, by which `datasets` says that there is no class, is nothing."""
    if not names:
        return cells

    def name(value: Any) -> Any:
        if isinstance(value, list):
            return [name(entry) for entry in value]
        if type(value) is not int:
            return value
        return names[value] if 0 <= value < len(names) else None if value == -1 else value

    return [name(cell) for cell in cells]
