"""A stage of a variant, run in this process or in several ranks, which receive it as JSON and folders only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vixml.core.directories import SealedDirectory, WorkDirectory
from vixml.core.errors import ConfigError, StateError
from vixml.distributed.job import WORKER, run_in_ranks
from vixml.distributed.launch import Machines, launch, nobody_came
from vixml.distributed.machines import machines_of
from vixml.training import stages
from vixml.training.variant_data import VariantData

STAGES: Mapping[str, Callable[..., Any]] = {
    "train_warmup": stages.train_warmup,
    "refresh_hard_negatives": stages.refresh_hard_negatives,
    "train_hard": stages.train_hard,
    "embed": stages.embed_test_and_labels,
}
"""What can be run in several ranks."""

_DESCRIBED = ("params", "dataset", "tokens", "image_bank", "evaluation", "seed", "soft_labels")
"""What `VariantData.of` makes the same data of in another process."""
_STAGE = "vixml.training.ranks.job:run_described"
_LOOK_SECONDS = 1.0


def run_stage(name: str, variant: VariantData, *inputs: SealedDirectory, work: WorkDirectory, **options: Any) -> Any:
    """Run a stage in as many processes as the settings say; the result is the same.

    Args:
        name: One of `STAGES`.
        variant: Data and settings.
        inputs: Further directories that it reads, in its order.
        work: Its private folder.
        options: Its options, JSON values.

    Raises:
        VixmlError: The stage failed, in this process or in a rank.
        Stopped: A signal asked to stop; the state is saved where it was training.
    """
    described = {field: getattr(variant, field) for field in _DESCRIBED}
    machines = machines_of(variant.params.training)
    if machines.processes * machines.count == 1:
        return STAGES[name](variant, *inputs, work, **options)
    if variant.dataset is None:
        raise ConfigError(
            "several processes read the data set from its folder",
            found="a VariantData without `dataset`",
            remedy="create it with `VariantData.of`, or set training.processes to 1.",
        )
    job = {"name": name, **described, "inputs": list(inputs), "work": work, "options": options}
    return run_in_ranks(_STAGE, job, folder=work.path / f"{name}.ranks", machines=machines)


def join(machines: Machines, folder: Path, *, say: Callable[[str], None]) -> int:
    """Take part in the stages that another machine runs, one after another, until there are no more.

    Args:
        machines: Ranks of this machine, number of machines, where they meet, and how long to wait for a stage.
        folder: A folder of this machine for what its ranks print.
        say: Called with a line for each stage.

    Returns:
        The number of stages.
    """
    done, waited = 0, time.monotonic()
    while (left := machines.patience - (time.monotonic() - waited)) > 0:
        try:
            launch(WORKER, [], folder=folder, machines=replace(machines, patience=max(1, left)))
        except StateError as err:
            if not nobody_came(err.__cause__):
                raise
            time.sleep(_LOOK_SECONDS)  # the other machine is between two stages
            continue
        done, waited = done + 1, time.monotonic()
        say(f"Finished stage {done}.")
    return done


def run_described(
    *, name: str, inputs: list[SealedDirectory], work: WorkDirectory, options: Mapping[str, Any], **variant: Any
) -> Any:
    """Run a stage as one of its ranks; the arguments are those of `run_stage` and of `VariantData.of`."""
    return STAGES[name](VariantData.of(**variant), *inputs, work, **options)
