"""The four variants, their families, the ablation's variants, and how a variant's settings come together.

A family (`encoder`, `decoder`) holds the settings that its two variants share; a variant's own section holds only what
differs. `compose` lays one over the other AFTER all configuration files and the command line have been merged, so a
family setting changes both twins wherever it comes from, and a variant setting only its own. (Interpolating whole
sections in YAML does not do that: a setting of a family that comes with an environment, or after one of the variant on
the command line, would be lost.)

A recipe (`encoder_recipe`, `decoder_recipe`; `vixml.configuration.recipes`) is laid over what the files say of a
family, and below what the command line says.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from vixml.configuration.recipes import overlay, resolve, split
from vixml.core.errors import ConfigError
from vixml.params.objective import OBJECTIVES, ObjectiveName
from vixml.params.training import check_resume

VARIANTS: dict[str, str] = {
    "encoder_text": "encoder",
    "encoder_vision": "encoder",
    "decoder_text": "decoder",
    "decoder_vision": "decoder",
}
"""Variant -> family, in the order of the reports."""

VISION_VARIANTS = tuple(name for name in VARIANTS if name.endswith("_vision"))
"""The variants that read the image bank."""

ABLATION: dict[str, tuple[str, ObjectiveName]] = {
    f"{variant}_{objective}": (variant, objective)
    for variant in ("encoder_text", "encoder_vision")
    for objective in OBJECTIVES
}
"""Variants of the pipeline `ablation` (table 5 of the ViXML paper) -> the variant that each one is, and its objective.

Its settings are that variant's; its own section holds only what differs besides the objective."""

ALL_VARIANTS: dict[str, str] = {**VARIANTS, **{name: VARIANTS[variant] for name, (variant, _) in ABLATION.items()}}
"""Every namespace that a model is trained in -> its family."""

GROUPS = ("backbone", "model", "batching", "optim", "training", "objective", "retrieval")
"""The groups of settings of a family and of a variant."""

TOP_LEVEL = (
    "seed",
    "resume",
    "dataset",
    "data_root",
    "encoder_backbone",
    "decoder_backbone",
    "vision_backbone",
    "encoder_recipe",
    "decoder_recipe",
    "fabrication",
    "download",
    "data",
    "vision",
    "evaluation",
    "baselines",
    "index_report",
    "label_update",
    "prediction",
    "runs",
    "run_name",
    "comparison",
    *dict.fromkeys(VARIANTS.values()),
    *ALL_VARIANTS,
)
"""Every top-level parameter."""

_SHORTCUTS = {
    "encoder_backbone": ("encoder", "backbone", "name"),
    "decoder_backbone": ("decoder", "backbone", "name"),
    "vision_backbone": ("vision", "model"),
}


def uses_images(name: str) -> bool:
    """Return whether a variant, one of the ablation's included, reads the image bank."""
    variant, _ = ABLATION.get(name, (name, None))
    return variant in VISION_VARIANTS


def readable_name(name: str) -> str:
    """Return how a variant is called in tables: `encoder_text ngame` for one of the ablation's."""
    return " ".join(ABLATION.get(name, (name,)))


def compose(parameters: Mapping[str, Any], runtime: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Lay recipes over families, fill in the shortcuts, and lay every variant's section over its family's.

    Args:
        parameters: The merged configuration, sections as plain mappings.
        runtime: What of it the command line gave: it wins over a recipe, as a recipe wins over the files.

    Returns:
        The same with complete sections for all variants, the ablation's too, and without the recipes; applying
        `compose` again changes nothing.

    Raises:
        ConfigError: There is no such recipe.
    """
    composed = dict(parameters)
    recipes, runtime = composed.pop("recipes", None), runtime or {}
    alone: dict[str, Mapping[str, Any]] = {}
    for family in dict.fromkeys(VARIANTS.values()):
        name = composed.get(f"{family}_recipe")
        if name is not None and recipes is not None:
            common, kinds = split(resolve(recipes, name))
            given = runtime.get(family) or {}
            composed[family] = overlay(overlay(composed.get(family) or {}, common), given)
            alone.update({f"{family}_{kind}": overlay(part, given) for kind, part in kinds.items()})
    for shortcut, (section, *path) in _SHORTCUTS.items():
        if composed.get(shortcut) is not None:
            value: Any = composed[shortcut]
            for key in reversed(path):
                value = {key: value}
            composed[section] = overlay(composed.get(section) or {}, value)
    for variant, family in VARIANTS.items():
        shared = overlay(composed.get(family) or {}, alone.get(variant, {}))
        composed[variant] = overlay(shared, composed.get(variant) or {})
    for name, (variant, objective) in ABLATION.items():
        own = overlay({"objective": {"name": objective}}, composed.get(name) or {})
        composed[name] = overlay(composed[variant], own)
    return composed


def check_keys(parameters: Mapping[str, Any]) -> None:
    """Make sure that no setting is misspelt or of a wrong type above the level that the parameter models check.

    Raises:
        ConfigError: An unknown top-level key, or an unknown group of a family or variant; the nearest is named. A seed
            that is no whole number.
    """
    _check(parameters, TOP_LEVEL, prefix="")
    seed = parameters.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigError("`seed` is not a whole number", found=seed, expected="a whole number, for instance 0")
    check_resume(parameters.get("resume", "auto"))
    for section in (*dict.fromkeys(VARIANTS.values()), *ALL_VARIANTS):
        groups = parameters.get(section) or {}
        if not isinstance(groups, Mapping):
            raise ConfigError(
                f"parameter `{section}` is a section, not a value", found=groups, expected=", ".join(GROUPS)
            )
        _check(groups, GROUPS, prefix=f"{section}.")


def _check(present: Iterable[str], known: Iterable[str], *, prefix: str) -> None:
    known = list(known)
    for key in present:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            raise ConfigError(
                f"there is no parameter `{prefix}{key}`",
                expected="one of " + ", ".join(known),
                remedy=f"did you mean `{prefix}{near[0]}`?" if near else "see conf/README.md.",
            )
