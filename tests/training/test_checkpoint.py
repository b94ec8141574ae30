"""A training that is killed, stopped, or disturbed by a full disk ends at the numbers of one that was left alone."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.processes import Ended, run

from vixml.core.directories import Built, SealedDirectory
from vixml.core.errors import StateError
from vixml.core.signals import EXIT_STOPPED
from vixml.params.variant import VariantParams
from vixml.training import checkpoint
from vixml.training.checkpoint import newest_checkpoint, read_state, save_checkpoint
from vixml.training.loop import Trainer
from vixml.training.state import TrainingState

Steps = dict[int, tuple[list[int], float]]
STAGE = "stage"


class Killed(Exception):
    """Stands for the end of the process."""


def every_step(params: VariantParams, **changes: Any) -> VariantParams:
    """A checkpoint after every step: no time is too short."""
    training = {**params.training.model_dump(), "checkpoint_minutes": 1e-12, **changes}
    return VariantParams(**{**params.model_dump(), "training": training})


def record(trainer: Trainer, *, kill_at: int | None = None) -> Steps:
    """Note the batch and the loss of every step; end before step `kill_at`."""
    seen: Steps = {}
    learn = trainer.step.learn

    def recorded(state: TrainingState, rows: np.ndarray) -> dict[str, torch.Tensor]:
        number = state.step
        if number == kill_at:
            raise Killed
        terms = learn(state, rows)
        seen[number] = (rows.tolist(), float(terms["loss"]))
        return terms

    trainer.step.learn = recorded
    return seen


def resumed(tiny: SimpleNamespace, work: Path, params: VariantParams) -> Trainer:
    """What a new process does: a fresh trainer, the newest checkpoint, the curve cut back."""
    trainer = tiny.trainer(work, params=params)
    found = newest_checkpoint(trainer.checkpoints / STAGE)
    assert found is not None
    read_state(trainer.state, found)
    trainer.curve.rewind(trainer.state.step)
    return trainer


def curve(trainer: Trainer) -> list[dict[str, float]]:
    return [{k: v for k, v in r.items() if k != "queries_per_second"} for r in trainer.curve.records()]


def assert_same(one: Trainer, other: Trainer) -> None:
    """Weights, moments, bank, clusters and curve, bit by bit."""
    assert (one.state.epoch, one.state.step) == (other.state.epoch, other.state.step)
    for name, value in one.state.model.state_dict().items():
        assert torch.equal(value, other.state.model.state_dict()[name]), name
    moments, others = (trainer.state.optimiser.state_dict()["state"] for trainer in (one, other))
    assert moments.keys() == others.keys()
    assert all(torch.equal(state[name], others[i][name]) for i, state in moments.items() for name in state)
    assert torch.equal(one.state.bank, other.state.bank)
    assert curve(one) == curve(other)


@pytest.mark.parametrize("killed", [1, 3, 4, 6, 9, 11, 12, 14])  # four steps an epoch; clusters from step 8 on
def test_killed_before_any_step(tiny: SimpleNamespace, tmp_path: Path, killed: int) -> None:
    """In and between epochs, random and clustered, right before and after a re-clustering: nothing is done twice."""
    params = every_step(tiny.params)
    whole = tiny.trainer(tmp_path / "whole")
    expected = record(whole)
    whole.fit(4, desc=STAGE)
    first = tiny.trainer(tmp_path / "parts", params=params)
    before = record(first, kill_at=killed)
    with pytest.raises(Killed):
        first.fit(4, desc=STAGE)
    second = resumed(tiny, tmp_path / "parts", params)
    assert second.state.step == killed
    after = record(second)
    second.fit(4, desc=STAGE)
    assert {**before, **after} == expected
    assert not before.keys() & after.keys()
    assert_same(whole, second)


def train_until(name: str, at: int, work: Path, seen: Path, changes: dict[str, Any]) -> None:
    """Body of a process of its own: train, write down each step, and get the signal `name` at step `at`."""
    from tests.training.conftest import PARAMS, tiny_trainer

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
    trainer = tiny_trainer(work, params=every_step(PARAMS, **changes))
    learn = trainer.step.learn

    def signalled(state: Any, rows: np.ndarray) -> dict[str, Any]:
        number = state.step
        if number == at and name == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        terms = learn(state, rows)
        with seen.open("a") as stream:
            stream.write(json.dumps([number, rows.tolist(), float(terms["loss"])]) + "\n")
        if number == at:
            os.kill(os.getpid(), getattr(signal, name))
        return terms

    trainer.step.learn = signalled
    trainer.fit(2, desc=STAGE)


def run_and_signal(work: Path, *, name: str, at: int, **changes: Any) -> tuple[Ended, Steps]:
    """Train in a process of its own that gets the signal at step `at`; return how it ended and what it did."""
    work.mkdir()
    seen = work / "seen.jsonl"
    ended = run(train_until, name, at, work, seen, changes, folder=work)
    lines = [json.loads(line) for line in seen.read_text().splitlines()]
    return ended, {number: (rows, loss) for number, rows, loss in lines}


@pytest.mark.parametrize(
    ("name", "at", "changes", "code"),
    [
        ("SIGKILL", 3, {}, -signal.SIGKILL),
        ("SIGTERM", 4, {"checkpoint_minutes": 0}, EXIT_STOPPED),  # the only checkpoint is the one the signal asks for
        ("SIGINT", 2, {"checkpoint_minutes": 0}, EXIT_STOPPED),
    ],
)
def test_eight_steps_are_some_steps_a_signal_and_the_rest(
    tiny: SimpleNamespace, tmp_path: Path, name: str, at: int, changes: dict[str, Any], code: int
) -> None:
    """Identical batches, losses, weights and optimiser state, with a real signal to a real process."""
    whole = tiny.trainer(tmp_path / "whole")
    expected = record(whole)
    whole.fit(2, desc=STAGE)
    assert len(expected) == 8
    ended, before = run_and_signal(tmp_path / "parts", name=name, at=at, **changes)
    assert ended.returncode == code, ended.stderr
    done = at if name == "SIGKILL" else at + 1
    assert sorted(before) == list(range(done))
    if code == EXIT_STOPPED:
        said = " ".join((ended.stdout + ended.stderr).split())  # Kedro's handler wraps lines to the terminal's width
        assert f"Stopped by {name} after step {done} of {STAGE}" in said
        assert "same command continues" in said
    second = resumed(tiny, tmp_path / "parts", every_step(tiny.params))
    begin = second.state.step
    # a killed process takes along the checkpoint that it was publishing, so its last step is taken again
    assert begin == done or (name == "SIGKILL" and begin == done - 1)
    after = record(second)
    second.fit(2, desc=STAGE)
    assert sorted(after) == list(range(begin, 8))
    assert {**before, **after} == expected
    assert_same(whole, second)


def test_the_newest_few_are_kept_and_a_damaged_one_is_passed_over(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """An edited newest checkpoint counts as none; the one before is continued, and the damaged one goes."""
    params = every_step(tiny.params, keep_checkpoints=3)
    trainer = tiny.trainer(tmp_path, params=params)
    folder = trainer.checkpoints / STAGE
    record(trainer, kill_at=6)
    with pytest.raises(Killed):
        trainer.fit(2, desc=STAGE)
    assert sorted(path.name for path in folder.iterdir()) == [f"step-{n:09d}" for n in (4, 5, 6)]
    weights = folder / "step-000000006" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # of equal size
    weights.write_bytes(content)
    (folder / "step-000000005" / "bank.npy").unlink()
    second = resumed(tiny, tmp_path, params)
    assert second.state.step == 4
    record(second, kill_at=5)
    with pytest.raises(Killed):
        second.fit(2, desc=STAGE)
    assert sorted(path.name for path in folder.iterdir()) == [f"step-{n:09d}" for n in (4, 5)]


def test_a_full_disk_stops_no_training(
    tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the disk is full the older checkpoint stays and the curve waits; later ones are written again."""
    params = every_step(tiny.params)
    trainer = tiny.trainer(tmp_path / "full", params=params)
    folder, save, log = trainer.checkpoints / STAGE, checkpoint.save_file, trainer.curve.log
    kept: list[list[str]] = []

    def full(tensors: dict[str, torch.Tensor], file: str) -> None:
        if trainer.state.step in (3, 4) and "optimiser" in file:
            Path(file).write_bytes(b"half")
            kept.append(sorted(path.name for path in folder.glob("step-*")))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, file)

    def full_curve(**values: Any) -> None:
        file = trainer.curve.file
        if values["step"] == 5:
            trainer.curve.file = Path("/dev/full")
        log(**values)
        trainer.curve.file = file

    monkeypatch.setattr(checkpoint, "save_file", full)
    monkeypatch.setattr(trainer.curve, "log", full_curve)
    with caplog.at_level(logging.WARNING):
        trainer.fit(2, desc=STAGE)
    assert kept == [["step-000000001", "step-000000002"]] * 2
    warnings = [r.getMessage() for r in caplog.records if "No checkpoint could be written" in r.getMessage()]
    assert len(warnings) == 2
    assert "No space left on device" in warnings[0]
    assert newest_checkpoint(folder) == folder / "step-000000007"  # the end of the stage is the caller's to save
    whole = tiny.trainer(tmp_path / "whole")
    whole.fit(2, desc=STAGE)
    assert_same(whole, trainer)


def test_a_state_of_other_settings_names_what_differs(
    tiny: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the key with both values; `force` goes on with a warning; versions alone only warn."""
    saved = tiny.trainer(tmp_path, identity=0.1)
    saved.fit(1, desc=STAGE)
    save_checkpoint(saved.state, tmp_path / "saved", keep=1)
    found = newest_checkpoint(tmp_path / "saved")
    assert found is not None
    other = tiny.trainer(tmp_path, identity=0.2)
    with pytest.raises(StateError, match=r"params\.optim\.lr: 0\.1 -> 0\.2\. What to do: .*resume=force.*resume=never"):
        read_state(other.state, found)
    assert other.state.step == 0
    read_state(other.state, found, resume="force")
    assert other.state.step == 4
    assert "params.optim.lr: 0.1 -> 0.2" in caplog.text
    newer = tiny.trainer(tmp_path, identity=0.1)
    newer.state.identity = {**newer.state.identity, "versions.torch": "99"}
    read_state(newer.state, found)
    assert newer.state.step == 4
    assert 'versions.torch: null -> "99"' in caplog.text


def test_forced_onto_other_batches_the_epoch_begins_again(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """A place within an epoch means nothing where the epoch is cut otherwise."""
    params = every_step(tiny.params)
    first = tiny.trainer(tmp_path, params=params)
    record(first, kill_at=6)
    with pytest.raises(Killed):
        first.fit(2, desc=STAGE)
    batching = {**params.batching.model_dump(), "batch_size": 10}
    other = tiny.trainer(tmp_path, params=VariantParams(**{**params.model_dump(), "batching": batching}))
    found = newest_checkpoint(first.checkpoints / STAGE)
    assert found is not None
    read_state(other.state, found, resume="force")
    state = other.state
    assert (state.epoch, state.step, state.steps_per_epoch, state.epoch_means.count) == (1, 5, 5, 0)
    other.fit(2, desc=STAGE)
    assert other.state.step == 10


def test_the_training_goes_on_while_a_checkpoint_is_published(
    tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next step begins before the first checkpoint is there, which holds the step at which it was saved."""
    trainer = tiny.trainer(tmp_path, params=every_step(tiny.params, keep_checkpoints=99))
    learn, publish, began, after_one = trainer.step.learn, checkpoint.publish, threading.Event(), {}

    def noted(state: TrainingState, rows: np.ndarray) -> Any:
        if state.step == 1:
            after_one.update({name: weight.detach().clone() for name, weight in state.model.named_parameters()})
            began.set()
        return learn(state, rows)

    def late(built: Built, target: Path) -> SealedDirectory:
        assert began.wait(60), "the training waits for its checkpoint"
        assert target.name != "step-000000001" or newest_checkpoint(target.parent) is None
        return publish(built, target)

    monkeypatch.setattr(trainer.step, "learn", noted)
    monkeypatch.setattr(checkpoint, "publish", late)
    trainer.fit(1, desc=STAGE)
    saved = trainer.checkpoints / STAGE / "step-000000001"
    again = tiny.trainer(tmp_path / "again", params=every_step(tiny.params))
    read_state(again.state, saved)
    assert again.state.step == 1
    for name, weight in again.state.model.named_parameters():
        torch.testing.assert_close(weight, after_one[name], rtol=0, atol=0)
    assert not list((trainer.checkpoints / STAGE).glob(".*"))


def test_a_checkpoint_that_cannot_be_published_leaves_the_older_one(
    tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = tiny.trainer(tmp_path, params=every_step(tiny.params))
    publish = checkpoint.publish

    def full(built: Built, target: Path) -> SealedDirectory:
        if target.name > "step-000000002":
            raise OSError(28, "No space left on device")
        return publish(built, target)

    monkeypatch.setattr(checkpoint, "publish", full)
    with caplog.at_level(logging.WARNING):
        trainer.fit(2, desc=STAGE)
    folder = trainer.checkpoints / STAGE
    assert newest_checkpoint(folder) == folder / "step-000000002"
    assert "No checkpoint could be written at step 7" in caplog.text
    assert trainer.state.epoch == 2
