"""A stage of a variant, run in this process or in several ranks, which receive it as JSON and folders only."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vixml.core.directories import Built, SealedDirectory, WorkDirectory, open_sealed, read_json, write_json
from vixml.core.errors import ConfigError, StateError
from vixml.data.dataset import Dataset
from vixml.distributed.launch import Machines, clear, launch, nobody_came
from vixml.params.evaluation import EvaluationParams
from vixml.params.training import TrainingParams
from vixml.params.variant import VariantParams
from vixml.training import stages
from vixml.training.variant_data import VariantData

STAGES: Mapping[str, Callable[..., Any]] = {
    "train_warmup": stages.train_warmup,
    "refresh_hard_negatives": stages.refresh_hard_negatives,
    "train_hard": stages.train_hard,
    "embed": stages.embed_test_and_labels,
}
"""What can be run in several ranks."""

JOB, RESULT = "job.json", "result.json"
_WORKER = "vixml.training.ranks.worker"
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
    machines = machines_of(variant.params.training)
    if machines.processes * machines.count == 1:
        return STAGES[name](variant, *inputs, work, **options)
    folder = work.path / f"{name}.ranks"
    clear(folder)
    (folder / RESULT).unlink(missing_ok=True)
    write_json(folder / JOB, _described(name, variant, inputs, work, options))
    launch(_WORKER, [str(folder)], folder=folder, machines=machines)
    return decoded(read_json(folder / RESULT)["value"])


def machines_of(training: TrainingParams) -> Machines:
    """Return how many ranks a stage is divided among, and where they run; `auto` is every GPU of this machine.

    Raises:
        ConfigError: The GPUs do not suffice, or several machines have no place to meet.
    """
    processes = training.processes
    if not isinstance(processes, int):
        processes = num_gpus() if training.device in ("auto", "cuda") else 1
    if processes > 1 and training.device.startswith("cuda:"):
        raise ConfigError(
            "several processes take one GPU each, so they cannot share a named one",
            found=f"training.device {training.device}, training.processes {processes}",
            remedy="set training.device to cuda (CUDA_VISIBLE_DEVICES selects the GPUs), or training.processes to 1.",
        )
    if training.device != "cpu" and processes > 1 and 0 < _gpus() < processes:
        raise ConfigError(
            "there are fewer GPUs than processes",
            found=f"training.processes {processes}, {_gpus()} GPUs",
            remedy="set training.processes to auto, or training.device to cpu.",
        )
    if training.machines > 1 and not training.rendezvous:
        raise ConfigError(
            "several machines need an address at which to meet",
            found=f"training.machines {training.machines} without training.rendezvous",
            remedy="set training.rendezvous to HOST:PORT of this machine; start `vixml join HOST:PORT` on the others.",
        )
    return Machines(processes, training.machines, training.rendezvous if training.machines > 1 else "")


def num_gpus() -> int:
    """Return the number of GPUs of this machine, at least 1: without one the processor does the work."""
    return max(1, _gpus())


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


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
            launch(_WORKER, [], folder=folder, machines=replace(machines, patience=max(1, left)))
        except StateError as err:
            if not nobody_came(err.__cause__):
                raise
            time.sleep(_LOOK_SECONDS)  # the other machine is between two stages
            continue
        done, waited = done + 1, time.monotonic()
        say(f"Finished stage {done}.")
    return done


def run_job(folder: Path) -> Any:
    """Run the stage that a job describes, as one of its ranks."""
    job = read_json(folder / JOB)
    variant = VariantData.of(
        VariantParams(**job["params"]),
        Dataset(open_sealed(Path(job["dataset"]))),
        open_sealed(Path(job["tokens"])),
        _opened(job["image_bank"]),
        evaluation=EvaluationParams(**job["evaluation"]),
        seed=job["seed"],
        soft_labels=_opened(job["soft_labels"]),
    )
    inputs = [open_sealed(Path(path)) for path in job["inputs"]]
    return STAGES[job["stage"]](variant, *inputs, WorkDirectory(Path(job["work"])), **job["options"])


def _described(
    name: str,
    variant: VariantData,
    inputs: tuple[SealedDirectory, ...],
    work: WorkDirectory,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    if variant.dataset is None:
        raise ConfigError(
            "several processes read the data set from its folder",
            found="a VariantData without `dataset`",
            remedy="create it with `VariantData.of`, or set training.processes to 1.",
        )
    return {
        "stage": name,
        "params": variant.params.model_dump(mode="json"),
        "evaluation": variant.evaluation.model_dump(mode="json"),
        "seed": variant.seed,
        "dataset": _place(variant.dataset.directory),
        "tokens": _place(variant.tokens),
        "image_bank": _place(variant.image_bank),
        "soft_labels": _place(variant.soft_labels),
        "inputs": [_place(directory) for directory in inputs],
        "work": str(work.path.absolute()),
        "options": dict(options),
    }


def _place(directory: SealedDirectory | None) -> str | None:
    return None if directory is None else str(directory.path.absolute())


def _opened(place: str | None) -> SealedDirectory | None:
    return None if place is None else open_sealed(Path(place))


def encoded(value: Any) -> Any:
    """Return what a stage returns as JSON values."""
    if isinstance(value, Built):
        return {"built": [str(value.path), value.kind, dict(value.meta)]}
    return {"tuple": [encoded(part) for part in value]} if isinstance(value, tuple) else value


def decoded(value: Any) -> Any:
    """Return what `encoded` was given."""
    if isinstance(value, dict) and value.keys() == {"built"}:
        path, kind, meta = value["built"]
        return Built(Path(path), kind, meta)
    if isinstance(value, dict) and value.keys() == {"tuple"}:
        return tuple(decoded(part) for part in value["tuple"])
    return value
