"""Full training state on disk: safetensors and JSON, published whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vixml.core.directories import Built, open_sealed, publish, read_json, write_json
from vixml.core.errors import StateError
from vixml.core.provenance import differences
from vixml.models.build import load_trained_state, trained_state
from vixml.negatives.table import LABELS, MinedTable
from vixml.params.training import Resume
from vixml.training.identity import check_identity
from vixml.training.refresh import monitored_queries

if TYPE_CHECKING:
    from vixml.training.loop import Trainer

KIND = "checkpoint"
CHECKPOINTS = "checkpoints"
STATE = "state.json"
_WEIGHTS, _OPTIMISER, _BANK, _CLUSTERS = "weights.safetensors", "optimiser.safetensors", "bank.npy", "clusters.npz"
_MONITORED = "watched_labels.npy"  # the name former versions gave it
GO_ON_OR_BEGIN_ANEW = "add `--params resume=force` to go on all the same, or `--params resume=never` to begin anew."


def write_state(trainer: Trainer, folder: Path) -> Built:
    """Write everything a later process needs to continue `trainer` to the same numbers, between any two steps.

    Random streams, batches, curriculum and schedule are derived from seed, epoch and step, so these are their whole
    state. The batches of an epoch are cut from the clusters that were in force at its start: they are saved, and a
    state from within an epoch does not cluster anew.
    """
    save_file(trained_state(trainer.model), str(folder / _WEIGHTS))
    moments = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, state in trainer.optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    save_file(moments, str(folder / _OPTIMISER))
    np.save(folder / _BANK, trainer.bank.cpu().numpy(), allow_pickle=False)
    if trainer.clusters is not None:
        np.savez(
            folder / _CLUSTERS,
            points=np.concatenate(trainer.clusters),
            sizes=np.array([len(cluster) for cluster in trainer.clusters]),
        )
    # Labels mined at the exact refresh lie beside the clusters of that refresh; renewed ones are nowhere else.
    if trainer.mined is not None and trainer.params.batching.mine_every:
        trainer.mined.save(folder)
    if trainer.monitored is not None:
        np.save(folder / _MONITORED, trainer.monitored, allow_pickle=False)
    state = {
        "epoch": trainer.epoch,
        "step": trainer.step,
        "steps_per_epoch": trainer.steps_per_epoch,
        "identity": dict(trainer.identity),
        "epoch_means": trainer.epoch_means.state(),
        "recent_means": trainer.recent_means.state(),
        "seconds": trainer.seconds,
        "epoch_seconds": trainer.epoch_seconds,
        "peak_memory_bytes": trainer.peak_memory_bytes,
    }
    write_json(folder / STATE, state)
    return Built(folder, KIND, {"epoch": trainer.epoch, "step": trainer.step})


def read_state(trainer: Trainer, folder: Path, *, resume: Resume = "auto", remedy: str = GO_ON_OR_BEGIN_ANEW) -> None:
    """Put a written state into `trainer`.

    Raises:
        StateError: The state belongs to other data or settings (the differing ones are named), or is damaged.
    """
    state = read_json(folder / STATE)
    check_identity(state["identity"], trainer.identity, state=folder, resume=resume, remedy=remedy)
    load_trained_state(trainer.model, load_file(str(folder / _WEIGHTS)), folder / _WEIGHTS)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(str(folder / _OPTIMISER)).items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    trainer.optimiser.load_state_dict({**trainer.optimiser.state_dict(), "state": moments})
    bank = torch.from_numpy(np.load(folder / _BANK, allow_pickle=False))
    if bank.shape != trainer.bank.shape:
        raise StateError(
            "the state belongs to another number of training queries or another width, so it cannot be continued",
            file=folder / _BANK,
            found=str(tuple(bank.shape)),
            expected=str(tuple(trainer.bank.shape)),
            remedy="add `--params resume=never` to begin anew.",
        )
    trainer.bank.copy_(bank)
    trainer.clusters = _read_clusters(folder / _CLUSTERS, trainer.rows)
    trainer.monitored = _read_labels(folder / _MONITORED, len(monitored_queries(trainer.rows, trainer.seed)))
    if (folder / LABELS).exists():
        renewed = MinedTable.open(folder, remedy="add `--params resume=never` to begin anew.")
        # forced onto other queries or another number of labels, those of the exact refresh stay
        if renewed.labels.shape == (len(bank), trainer.params.batching.mined_labels):
            trainer.mined = renewed
    trainer.epoch, trainer.step = state["epoch"], state["step"]
    trainer.seconds, trainer.epoch_seconds = state["seconds"], state["epoch_seconds"]
    trainer.peak_memory_bytes = state["peak_memory_bytes"]
    trainer.epoch_means.restore(state["epoch_means"])
    trainer.recent_means.restore(state["recent_means"])
    if state["steps_per_epoch"] != trainer.steps_per_epoch:  # forced: other batches, so the epoch begins again
        trainer.restart_epoch()


def _read_clusters(file: Path, rows: np.ndarray) -> list[np.ndarray] | None:
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as saved:
        points, sizes = saved["points"], saved["sizes"]
    if not np.array_equal(np.sort(points), rows):  # forced: other queries have labels now, so they are clustered anew
        return None
    return np.split(points, np.cumsum(sizes)[:-1])


def _read_labels(file: Path, rows: int) -> np.ndarray | None:
    """Return mined labels [rows, k]; None where there are none, or of other queries (forced)."""
    if not file.exists():
        return None
    labels: np.ndarray = np.load(file, allow_pickle=False)
    return labels if len(labels) == rows else None


def save_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Publish a checkpoint under `folder`; then, and only then, remove all but the newest few.

    Raises:
        OSError: It could not be written (the disk is full, ...); the older ones are untouched.
    """
    scratch, name = folder / ".writing", f"step-{trainer.step:09d}"
    if (folder / name).exists() and newest_checkpoint(folder) == folder / name:
        saved = read_json(folder / name / STATE)["identity"]
        if not differences(saved, trainer.identity):
            return  # continued from it: the same state is there
    for leftover in folder.glob(".*"):  # of a process that was killed while it wrote
        shutil.rmtree(leftover, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        publish(write_state(trainer, scratch), folder / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    others = sorted((path for path in folder.glob("step-*") if path.name != name), reverse=True)
    older = [path for path in others if path.name < name]
    damaged = [path for path in others if path.name > name]  # a whole one would have been continued
    for path in [*damaged, *older[trainer.params.training.keep_checkpoints - 1 :]]:
        shutil.rmtree(path)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint under `folder`, or None; a torn or edited one is passed over."""
    for candidate in sorted(folder.glob("step-*"), reverse=True):
        try:
            open_sealed(candidate, kind=KIND).verify()
        except StateError:
            continue
        return candidate
    return None
