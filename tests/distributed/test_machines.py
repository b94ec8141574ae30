"""How many ranks there are, by the settings and the GPUs."""

from __future__ import annotations

import pytest

from vixml.core.errors import ConfigError
from vixml.distributed.launch import Machines
from vixml.distributed.machines import machines_of
from vixml.params.training import TrainingParams


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by default; `auto` is every GPU, and one where there is none or the processor is asked for."""
    assert machines_of(TrainingParams()) == Machines(1)
    assert machines_of(TrainingParams(processes=3)) == Machines(3)
    assert machines_of(TrainingParams(processes="auto")) == Machines(1)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    assert machines_of(TrainingParams(processes="auto")) == Machines(8)
    assert machines_of(TrainingParams(processes="auto", device="cpu")) == Machines(1)
    with pytest.raises(ConfigError, match="cannot share a named one"):
        machines_of(TrainingParams(processes=2, device="cuda:1"))
    with pytest.raises(ConfigError, match=r"fewer GPUs than processes.*9, 8 GPUs"):
        machines_of(TrainingParams(processes=9))
    assert machines_of(TrainingParams(processes=9, device="cpu")) == Machines(9)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="2, 1 GPUs"):
        machines_of(TrainingParams(processes=2))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    meeting = {"machines": 2, "rendezvous": "there:29500"}
    assert machines_of(TrainingParams(processes=8, **meeting)) == Machines(8, 2, "there:29500")
    with pytest.raises(ConfigError, match="need an address at which to meet"):
        machines_of(TrainingParams(machines=2))
    with pytest.raises(ValueError, match="at least 1, or auto"):
        TrainingParams(processes=0)
