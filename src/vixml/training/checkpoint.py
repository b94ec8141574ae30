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
from vixml.models.build import load_trained_state, trained_state

if TYPE_CHECKING:
    from vixml.training.loop import Trainer

KIND = "checkpoint"
_STATE, _WEIGHTS, _OPTIMISER, _BANK, _CLUSTERS = (
    "state.json",
    "weights.safetensors",
    "optimiser.safetensors",
    "bank.npy",
    "clusters.npz",
)


def write_state(trainer: Trainer, folder: Path) -> Built:
    """Write everything a later process needs to continue `trainer` to the same numbers.

    Random streams are derived from seed, epoch and step, so the step is their whole state.
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
    state = {
        "epoch": trainer.epoch,
        "step": trainer.step,
        "fingerprint": trainer.fingerprint,
        "seconds": trainer.seconds,
        "peak_memory_bytes": trainer.peak_memory_bytes,
    }
    write_json(folder / _STATE, state)
    return Built(folder, KIND, {"epoch": trainer.epoch, "step": trainer.step})


def read_state(trainer: Trainer, folder: Path) -> None:
    """Put a written state into `trainer`.

    Raises:
        StateError: The state belongs to other data or settings, or is damaged.
    """
    state = read_json(folder / _STATE)
    if state["fingerprint"] != trainer.fingerprint:
        raise StateError(
            "the checkpoint belongs to other data or settings",
            file=folder,
            remedy="run the variant's training from its first stage again.",
        )
    load_trained_state(trainer.model, load_file(str(folder / _WEIGHTS)), folder / _WEIGHTS)
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in load_file(str(folder / _OPTIMISER)).items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    trainer.optimiser.load_state_dict({**trainer.optimiser.state_dict(), "state": moments})
    trainer.bank.copy_(torch.from_numpy(np.load(folder / _BANK, allow_pickle=False)))
    trainer.clusters = None
    if (folder / _CLUSTERS).exists():
        with np.load(folder / _CLUSTERS, allow_pickle=False) as saved:
            trainer.clusters = np.split(saved["points"], np.cumsum(saved["sizes"])[:-1])
    trainer.epoch, trainer.step = state["epoch"], state["step"]
    trainer.seconds, trainer.peak_memory_bytes = state["seconds"], state["peak_memory_bytes"]


def save_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Publish a checkpoint under `folder` and remove older ones."""
    scratch = folder / ".writing"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    name = f"epoch-{trainer.epoch:05d}"
    publish(write_state(trainer, scratch), folder / name)
    for other in folder.glob("epoch-*"):
        if other.name != name:
            shutil.rmtree(other)


def newest_checkpoint(folder: Path, fingerprint: str) -> Path | None:
    """Return the newest complete checkpoint under `folder` that belongs to `fingerprint`, or None."""
    for candidate in sorted(folder.glob("epoch-*"), reverse=True):
        try:
            open_sealed(candidate, kind=KIND)
            if read_json(candidate / _STATE)["fingerprint"] == fingerprint:
                return candidate
        except StateError:  # torn by a kill: an older one will do
            continue
    return None
