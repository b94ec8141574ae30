"""Full training state on disk: safetensors and JSON, published whole or not at all."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

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
from vixml.training.state import TrainingState

KIND = "checkpoint"
CHECKPOINTS = "checkpoints"
STATE = "state.json"
_WEIGHTS, _OPTIMISER, _BANK, _CLUSTERS = "weights.safetensors", "optimiser.safetensors", "bank.npy", "clusters.npz"
_MONITORED = "watched_labels.npy"  # the name former versions gave it
_START_OVER = "add `resume=never` to the settings of `--params`, after a comma, to start over."
GO_ON_OR_BEGIN_ANEW = f"add `resume=force` to continue anyway, or {_START_OVER[4:]}"


def write_state(state: TrainingState, folder: Path) -> Built:
    """Write everything a later process needs to continue the training to the same numbers, between any two steps.

    Random streams, batches, curriculum and schedule are derived from seed, epoch and step, so these are their whole
    state. The batches of an epoch are cut from the clusters that were in force at its start: they are saved, and a
    state from within an epoch does not cluster again.
    """
    save_file(trained_state(state.model), str(folder / _WEIGHTS))
    moments = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, values in state.optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }
    save_file(moments, str(folder / _OPTIMISER))
    np.save(folder / _BANK, state.bank.cpu().numpy(), allow_pickle=False)
    if state.clusters is not None:
        np.savez(
            folder / _CLUSTERS,
            points=np.concatenate(state.clusters),
            sizes=np.array([len(cluster) for cluster in state.clusters]),
        )
    # labels mined at the exact refresh are stored with its clusters; renewed ones are only here
    if state.mined is not None and state.mined_is_renewed:
        state.mined.save(folder)
    if state.monitored is not None:
        np.save(folder / _MONITORED, state.monitored, allow_pickle=False)
    document = {
        "epoch": state.epoch,
        "step": state.step,
        "steps_per_epoch": state.steps_per_epoch,
        "identity": dict(state.identity),
        "epoch_means": state.epoch_means.document(),
        "recent_means": state.recent_means.document(),
        "seconds": state.seconds,
        "epoch_seconds": state.epoch_seconds,
        "peak_memory_bytes": state.peak_memory_bytes,
    }
    write_json(folder / STATE, document)
    return Built(folder, KIND, {"epoch": state.epoch, "step": state.step})


def read_state(
    state: TrainingState, folder: Path, *, resume: Resume = "auto", remedy: str = GO_ON_OR_BEGIN_ANEW
) -> None:
    """Put a written state into `state`.

    Raises:
        StateError: The state belongs to other data or settings (the differing ones are named), or is damaged.
    """
    document = read_json(folder / STATE)
    check_identity(document["identity"], state.identity, state=folder, resume=resume, remedy=remedy)
    load_trained_state(state.model, load_file(str(folder / _WEIGHTS)), folder / _WEIGHTS)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(str(folder / _OPTIMISER)).items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    state.optimiser.load_state_dict({**state.optimiser.state_dict(), "state": moments})
    bank = np.load(folder / _BANK, mmap_mode="r", allow_pickle=False)
    if bank.shape != tuple(state.bank.shape):
        raise StateError(
            "the state belongs to another number of training queries or another width, so it cannot be continued",
            file=folder / _BANK,
            found=str(tuple(bank.shape)),
            expected=str(tuple(state.bank.shape)),
            remedy=_START_OVER,
        )
    state.set_bank(bank)
    state.clusters = _read_clusters(folder / _CLUSTERS, state.rows)
    state.monitored = _read_labels(folder / _MONITORED, len(state.monitored_rows))
    if state.mined is not None and (folder / LABELS).exists():
        renewed = MinedTable.open(folder, remedy=_START_OVER)
        # forced onto other queries or another number of labels, those of the exact refresh stay
        if renewed.labels.shape == state.mined.labels.shape:
            state.mined, state.mined_is_renewed = renewed, True
    state.epoch, state.step = document["epoch"], document["step"]
    state.seconds, state.epoch_seconds = document["seconds"], document["epoch_seconds"]
    state.peak_memory_bytes = document["peak_memory_bytes"]
    state.epoch_means.restore(document["epoch_means"])
    state.recent_means.restore(document["recent_means"])
    if document["steps_per_epoch"] != state.steps_per_epoch:  # forced: other batches, so the epoch begins again
        state.restart_epoch()


def _read_clusters(file: Path, rows: np.ndarray) -> list[np.ndarray] | None:
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as saved:
        points, sizes = saved["points"], saved["sizes"]
    if not np.array_equal(np.sort(points), rows):  # forced: other queries have labels now, so they are clustered again
        return None
    return np.split(points, np.cumsum(sizes)[:-1])


def _read_labels(file: Path, rows: int) -> np.ndarray | None:
    """Return mined labels [rows, k]; None where there are none, or of other queries (forced)."""
    if not file.exists():
        return None
    labels: np.ndarray = np.load(file, allow_pickle=False)
    return labels if len(labels) == rows else None


def save_checkpoint(state: TrainingState, folder: Path, *, keep: int) -> None:
    """Publish a checkpoint under `folder`; then, and only then, remove all but the newest `keep`.

    Raises:
        OSError: It could not be written (the disk is full, ...); the older ones are untouched.
    """
    with CheckpointWriter() as writer:
        writer.save(state, folder, keep=keep)


class CheckpointWriter:
    """Saves checkpoints while the training goes on; use it in a `with` statement, whose end waits for the last one.

    The state is written at once, so a checkpoint is of one step. What takes long (hashing it, putting it on the disk,
    publishing it, removing older ones) is done by a thread: killed meanwhile, the older checkpoint is whole.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._last: Future[None] | None = None

    def save(self, state: TrainingState, folder: Path, *, keep: int) -> None:
        """Write the state and begin to publish it as `save_checkpoint` does, after the one before is published.

        Raises:
            OSError: This one could not be written, or the one before; older ones are untouched.
        """
        self.wait()
        scratch, name = folder / ".writing", f"step-{state.step:09d}"
        if (folder / name).exists() and newest_checkpoint(folder) == folder / name:
            saved = read_json(folder / name / STATE)["identity"]
            if not differences(saved, state.identity):
                return  # continued from it: the same state is there
        for leftover in folder.glob(".*"):  # of a process that was killed while it wrote
            shutil.rmtree(leftover, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            built = write_state(state, scratch)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        self._last = self._thread.submit(_publish, built, folder, name, keep)

    def wait(self) -> None:
        """Return once the last checkpoint is published.

        Raises:
            OSError: It could not be; the older ones are untouched.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def _publish(built: Built, folder: Path, name: str, keep: int) -> None:
    try:
        publish(built, folder / name)
    finally:
        shutil.rmtree(built.path, ignore_errors=True)
    others = sorted((path for path in folder.glob("step-*") if path.name != name), reverse=True)
    older = [path for path in others if path.name < name]
    damaged = [path for path in others if path.name > name]  # a whole one would have been continued
    for path in [*damaged, *older[keep - 1 :]]:
        shutil.rmtree(path)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint under `folder`, or None; a torn or edited one is skipped."""
    for candidate in sorted(folder.glob("step-*"), reverse=True):
        try:
            open_sealed(candidate, kind=KIND).verify()
        except StateError:
            continue
        return candidate
    return None
