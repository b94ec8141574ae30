"""What a training's numbers depend on, as a readable document; runs that may continue each other have equal ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vixml.core.directories import SealedDirectory
from vixml.core.errors import StateError
from vixml.core.provenance import differences, flatten, listed
from vixml.params.speed import result_settings
from vixml.params.training import Resume, check_resume
from vixml.params.variant import VariantParams

log = logging.getLogger(__name__)

Identity = Mapping[str, Any]
"""Dotted name -> JSON value: `params.optim.lr`, `data.tokens`, `versions.torch`, ..."""

LIBRARIES = ("torch", "transformers", "vixml")
"""What a training's numbers depend on."""

TRAINED_WITH = "trained_with"
_THREADS = "versions.threads"


def trained_with(params: VariantParams) -> dict[str, Any]:
    """Return the settings, by dotted names, that distinguish trained models, without ineffective ones."""
    settings = result_settings(params, {"backbone", "model", "objective"})
    backbone, model = settings["backbone"], settings["model"]
    del settings["objective"]["distillation"]  # has an effect with a teacher only
    backbone["name"] = Path(backbone["name"]).name  # a folder may be moved
    if params.backbone.name != "tiny":
        del backbone["tiny"]
    if params.backbone.family == "encoder" and not params.backbone.prompt.enabled:
        del backbone["prompt"]
    if params.model.fusion != "late":
        del model["late"]
    if not params.model.weighs_images(params.backbone.pooling):
        del model["image_weight"]
    return flatten(settings)


def check_same_model(model: SealedDirectory, params: VariantParams) -> None:
    """Make sure that a run speaks of the model that it finds, as its results are recorded under the run's settings.

    Args:
        model: Published model; one without a record of its settings passes.
        params: Settings of the run.

    Raises:
        StateError: They differ; every difference is named.
    """
    if TRAINED_WITH not in model.meta:
        return
    saved, now = model.meta[TRAINED_WITH], trained_with(params)
    # a model of an earlier version does not know a setting that came later: it had what is the default now
    unknown = {
        name: value
        for name, value in trained_with(VariantParams.model_construct()).items()
        if name in now.keys() - saved.keys()
    }
    changed = differences({**unknown, **saved}, now)
    if changed:
        raise StateError(
            f"this model was trained with other settings than this run has (then -> now): {listed(changed)}.",
            file=model.path,
            remedy="give the same --params as for its training, or train it again.",
        )


def check_identity(saved: Identity, current: Identity, *, state: Path, resume: Resume, remedy: str) -> None:
    """Make sure that a saved state belongs to this training.

    Other library versions or another number of threads (which sum in another order) alone are worth a warning only: a
    training of days should survive an update or a move, though its last digits then differ from those of an undisturbed
    run. A state that does not say the number of threads is of an earlier version.

    Raises:
        ConfigError: `resume` is none of the known words.
        StateError: Settings or data differ and `resume` is not `force`; every difference is named.
    """
    check_resume(resume)
    changed = differences({_THREADS: current.get(_THREADS), **saved}, current)
    if not changed:
        return
    what = listed(changed)
    versions_only = all(name.startswith("versions.") for name in changed)
    if versions_only or resume == "force":
        kind = "library versions or number of threads" if versions_only else "settings or data"
        log.warning("Continuing a training that began with other %s (then -> now): %s", kind, what)
        return
    raise StateError(
        f"this training was begun with other settings or data (then -> now): {what}.", file=state, remedy=remedy
    )
