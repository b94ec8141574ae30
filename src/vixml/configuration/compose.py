"""The four variants, their families, the ablation's variants, and how a variant's settings come together.

A family (`encoder`, `decoder`) holds the settings that its two variants share; a variant's own section holds only what
differs. Settings come in layers, the later ones win: defaults of the parameter models < the recipe
(`encoder_recipe`, `decoder_recipe`) < configuration files < the command line, and within each of them family < variant.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from vixml.configuration.choice import AUTO, DEMO, SIZES, TINY, DataFacts, choose_recipe
from vixml.configuration.layers import Layer, Origin, at, flat, nested, top_layer
from vixml.configuration.recipes import FAMILIES, overlay, packaged_recipes, resolve, split
from vixml.configuration.sections import PROJECT_DEFAULTS, check_known, check_names, sections
from vixml.core.errors import ConfigError
from vixml.params.objective import OBJECTIVES, ObjectiveName
from vixml.params.training import check_resume

log = logging.getLogger(__name__)

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
    "label_audit",
    "distillation",
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


def compose(
    parameters: Mapping[str, Any], runtime: Mapping[str, Any] | None = None, *, facts: DataFacts | None = None
) -> dict[str, Any]:
    """Return the settings in force: complete sections, with the names of the recipes that they took.

    Args:
        parameters: The merged configuration, files and command line, sections as plain mappings.
        runtime: What of it the command line gave.
        facts: Data and machine, for recipes that are `auto` and for the image encoder.

    Raises:
        ConfigError: There is no such recipe, or a section is a plain value.
    """
    names, stacks = stack(parameters, runtime or {}, facts=facts)
    rest = {key: value for key, value in parameters.items() if key != "recipes"}
    chosen = {f"{family}_recipe": name for family, name in names.items()}
    return {**rest, **chosen, **{section: flat(layers) for section, layers in stacks.items()}}


def stack(
    parameters: Mapping[str, Any], runtime: Mapping[str, Any], *, facts: DataFacts | None = None
) -> tuple[dict[str, str | None], dict[str, list[Layer]]]:
    """Return the recipe of each family, and the layers of every section; arguments as of `compose`."""
    recipes = overlay(packaged_recipes(), parameters.get("recipes") or {})
    defaults = {section: [_default(section, model().model_dump(mode="json"))] for section, model in sections().items()}
    defaults["decoder"] = list(defaults["encoder"])
    for section, values in PROJECT_DEFAULTS.items():
        defaults[section].append(_default(section, values))
    if facts is not None and facts.demo:
        defaults["vision"].append(Layer("recipe", DEMO, {"model": TINY}))
        defaults["data"].append(Layer("recipe", DEMO, {"validation_fraction": 0.0, "text_fields": "title"}))

    def given(*names: str) -> list[Layer]:
        """Layers of the files and of the command line: of the family, then of the variant."""
        origins: list[tuple[Origin, Mapping[str, Any]]] = [("file", parameters), ("command line", runtime)]
        return [layer for origin, values in origins for name in names for layer in _given(origin, values, name)]

    chosen: dict[str, str | None] = {}
    stacks = {section: [*below, *given(section)] for section, below in defaults.items() if section not in FAMILIES}
    for family in FAMILIES:
        chosen[family] = name = _recipe_name(family, parameters, given(family), facts, recipes)
        common, kinds = split(resolve(recipes, name, family)) if name is not None else ({}, {})
        stacks[family] = [*defaults[family], Layer("recipe", str(name), common), *given(family)]
        for variant in (variant for variant, of in ALL_VARIANTS.items() if of == family):
            twin, objective = ABLATION.get(variant, (variant, None))
            kind = twin.removeprefix(f"{family}_")
            layers = [
                *defaults[family],
                _default(twin, {"model": {"use_images": uses_images(variant)}}),
                Layer("recipe", str(name), overlay(common, kinds.get(kind, {}))),
            ]
            if objective is None:
                layers += given(family, variant)
            else:
                layers += [*given(family, twin), _default(variant, {"objective": {"name": objective}})]
                layers += given(variant)
            stacks[variant] = _stages_in_order(layers)
    return chosen, stacks


def _default(section: str, values: Mapping[str, Any]) -> Layer:
    return Layer("default", section, values)


def _given(origin: Origin, values: Mapping[str, Any], section: str) -> list[Layer]:
    """Return what files or command line say of a section, then what their shortcuts say of it.

    Raises:
        ConfigError: The section is a plain value.
    """
    own = values.get(section) or {}
    if not isinstance(own, Mapping):
        raise ConfigError(f"parameter `{section}` is a section, not a value", found=own, expected="groups of settings")
    layers = [Layer(origin, section, own)]
    for shortcut, (target, *path) in _SHORTCUTS.items():
        if target == section and values.get(shortcut) is not None:
            layers.append(Layer(origin, shortcut, nested(path, values[shortcut])))
    return layers


def _recipe_name(
    family: str, parameters: Mapping[str, Any], given: list[Layer], facts: DataFacts | None, recipes: Mapping[str, Any]
) -> str | None:
    name = parameters.get(f"{family}_recipe")
    _, backbone = at(flat(given), "backbone.name")
    if name == AUTO and facts is not None:
        return choose_recipe(family, backbone, facts, recipes)
    if backbone == TINY and name in dict(SIZES).values():  # what a pretrained network needs teaches a random one little
        return TINY
    return None if name is None else str(name)


def _stages_in_order(layers: list[Layer]) -> list[Layer]:
    """Let the start of the second training stage follow a number of epochs that was lowered below it.

    A recipe's `start_epoch` belongs to its own number of epochs. Where a later layer sets fewer epochs than that, the
    second stage begins after a third of them, so that there still are two.
    """
    merged = flat(layers)
    (_, epochs), (_, start) = at(merged, "training.epochs"), at(merged, "batching.start_epoch")
    if not (isinstance(epochs, int) and isinstance(start, int)) or start <= epochs:
        return layers
    if top_layer(layers, "batching.start_epoch") >= top_layer(layers, "training.epochs"):
        return layers
    _say(
        f"the recipe's batching.start_epoch {start} is after the last epoch (training.epochs {epochs}); "
        f"the second stage starts at epoch {epochs // 3}."
    )
    return [*layers, Layer("follows", "training.epochs", {"batching": {"start_epoch": max(epochs, 0) // 3}})]


@cache
def _say(message: str) -> None:
    """Log a message once a process: the configuration is composed several times in a run."""
    log.info("%s", message)


def check_keys(parameters: Mapping[str, Any]) -> None:
    """Make sure that no setting is misspelt, that values are where groups are not, and that training stages fit.

    Raises:
        ConfigError: An unknown setting, at any depth; the nearest is named. A seed that is no whole number, an unknown
            way to resume, or a second training stage that begins behind the last epoch.
    """
    check_names(parameters, TOP_LEVEL, prefix="")
    seed = parameters.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigError("`seed` is not a whole number", found=seed, expected="a whole number, for instance 0")
    check_resume(parameters.get("resume", "auto"))
    models = sections()
    models |= dict.fromkeys((*FAMILIES, *ALL_VARIANTS), models["encoder"])
    for section, model in models.items():
        values = parameters.get(section) or {}
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"parameter `{section}` is a section, not a value",
                found=values,
                expected=", ".join(model.model_fields),
            )
        check_known(values, model, section)
        if section in ALL_VARIANTS:
            _check_stages(section, values)


def _check_stages(variant: str, values: Mapping[str, Any]) -> None:
    (_, epochs), (_, start) = at(values, "training.epochs"), at(values, "batching.start_epoch")
    if isinstance(epochs, int) and isinstance(start, int) and start > epochs:
        raise ConfigError(
            f"the second training stage of {variant} would start after its last epoch",
            found=f"batching.start_epoch {start}, training.epochs {epochs}",
            remedy=f"set {variant}.batching.start_epoch={epochs // 3} (or the family's), or raise training.epochs.",
        )
