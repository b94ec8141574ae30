"""What a training's numbers depend on, as a readable document; runs that may continue each other have equal ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError
from vixml.params.base import Params
from vixml.params.training import Resume

log = logging.getLogger(__name__)

Identity = Mapping[str, Any]
"""Dotted name -> JSON value: `params.optim.lr`, `data.tokens`, `versions.torch`, ..."""

_LIBRARIES = ("torch", "transformers", "vixml")
_SHOWN = 12
_HOW_NOT_WHAT = ("backbone.max_download_gb", "backbone.gradient_checkpointing")  # the model is the same


def flatten(value: Any, prefix: str) -> dict[str, Any]:
    """Return the leaves of nested mappings under dotted names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {name: leaf for key, below in value.items() for name, leaf in flatten(below, f"{prefix}.{key}").items()}


def library_versions() -> dict[str, str]:
    """Return `versions.NAME` of the libraries that a training's numbers depend on."""
    return {f"versions.{name}": version(name) for name in _LIBRARIES}


def differences(saved: Identity, current: Identity) -> list[str]:
    """Return `name: saved -> current` of every entry that differs."""
    saved, current = (json.loads(json.dumps(dict(side), default=str)) for side in (saved, current))
    names = sorted(name for name in saved.keys() | current.keys() if saved.get(name) != current.get(name))
    return [f"{name}: {_short(saved.get(name))} -> {_short(current.get(name))}" for name in names]


def check_same_network(trained: Sequence[Params], current: Sequence[Params], *, model: Path) -> None:
    """Make sure that a run speaks of the model that it finds, as its results are recorded under the run's settings.

    Args:
        trained: Sections `backbone` and `model` of the settings that the model was trained with.
        current: Those of this run.
        model: Folder of the model.

    Raises:
        StateError: They differ; every difference is named.
    """
    found = differences(*map(_network, (trained, current)))
    if found:
        raise StateError(
            f"this model was trained with other settings than this run has (then -> now): {_listed(found)}.",
            file=model,
            remedy="give the same --params as for its training, or train it again.",
        )


def _network(sections: Sequence[Params]) -> Identity:
    named = zip(("backbone", "model"), sections, strict=True)
    settings = [flatten(section.model_dump(mode="json"), name) for name, section in named]
    return {name: value for leaves in settings for name, value in leaves.items() if name not in _HOW_NOT_WHAT}


def check_identity(saved: Identity, current: Identity, *, state: Path, resume: Resume, remedy: str) -> None:
    """Make sure that a saved state belongs to this training.

    Other library versions alone are worth a warning only: a training of days should survive an update, though its last
    digits then differ from those of an undisturbed run.

    Raises:
        StateError: Settings or data differ and `resume` is not `force`; every difference is named.
    """
    found = differences(saved, current)
    if not found:
        return
    listed = _listed(found)
    if resume == "force" or all(name.startswith("versions.") for name in found):
        log.warning("Continuing %s although it was made with other settings (then -> now): %s", state, listed)
        return
    raise StateError(
        f"this training was begun with other settings or data (then -> now): {listed}.", file=state, remedy=remedy
    )


def _listed(found: list[str]) -> str:
    return "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else text[:9] + '..."'
