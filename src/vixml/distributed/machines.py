"""How many ranks a piece of work is divided among, as the settings say and the GPUs allow."""

from __future__ import annotations

from typing import Protocol

from vixml.core.errors import ConfigError
from vixml.distributed.launch import Machines


class Divided(Protocol):
    """The settings of a variant's training that say how many ranks there are, and where they meet."""

    @property
    def device(self) -> str:
        """`auto`, `cpu`, `cuda`, ..."""

    @property
    def processes(self) -> int | str:
        """Ranks on this machine, or `auto`."""

    @property
    def machines(self) -> int:
        """Machines."""

    @property
    def rendezvous(self) -> str:
        """Where they meet."""


def machines_of(training: Divided) -> Machines:
    """Return how many ranks the stages of a variant are divided among, and where they run.

    Raises:
        ConfigError: The GPUs do not suffice, or several machines have no place to meet.
    """
    processes = processes_on(training.device, training.processes, "training")
    if training.machines > 1 and not training.rendezvous:
        raise ConfigError(
            "several machines need an address at which to meet",
            found=f"training.machines {training.machines} without training.rendezvous",
            remedy="set training.rendezvous to HOST:PORT of this machine; start `vixml join HOST:PORT` on the others.",
        )
    return Machines(processes, training.machines, training.rendezvous if training.machines > 1 else "")


def processes_on(device: str, processes: int | str, section: str) -> int:
    """Return how many ranks work on this machine; `auto` is one for each GPU.

    Args:
        device: The setting `device` of a section.
        processes: Its setting `processes`.
        section: Its name.

    Raises:
        ConfigError: The GPUs do not suffice.
    """
    if not isinstance(processes, int):
        processes = num_gpus() if device in ("auto", "cuda") else 1
    if processes > 1 and device.startswith("cuda:"):
        raise ConfigError(
            "several processes take one GPU each, so they cannot share a named one",
            found=f"{section}.device {device}, {section}.processes {processes}",
            remedy=f"set {section}.device to cuda (CUDA_VISIBLE_DEVICES selects GPUs), or {section}.processes to 1.",
        )
    if device != "cpu" and processes > 1 and 0 < _gpus() < processes:
        raise ConfigError(
            "there are fewer GPUs than processes",
            found=f"{section}.processes {processes}, {_gpus()} GPUs",
            remedy=f"set {section}.processes to auto, or {section}.device to cpu.",
        )
    return processes


def num_gpus() -> int:
    """Return the number of GPUs of this machine, at least 1: without one the processor does the work."""
    return max(1, _gpus())


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
