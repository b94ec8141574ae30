"""The parts of the torture of several ranks: whom it kills and when, what it finds left, what it calls equal."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.e2e import rank_kills
from tests.e2e.rank_kills import DIVIDED, KILLS, Moment, Watch

linux = pytest.mark.skipif(not Path("/proc").exists(), reason="processes are found in /proc")


@pytest.fixture
def rank(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a rank of this one, in a stage of a project."""
    ours = {"VIXML_LAUNCHER": str(os.getpid()), "VIXML_LAUNCHED_IN": str(tmp_path / "project" / "train_hard.ranks")}
    process = subprocess.Popen(["sleep", "60"], env={**os.environ, **ours})
    yield process
    process.kill()
    process.wait()


def test_every_stage_and_kill_has_its_turn() -> None:
    seconds = dict.fromkeys([f"encoder_text.{name}" for name in ("tokenise", *DIVIDED)], 3.0)
    at_work = {node: 1.0 for node in seconds if "tokenise" not in node}
    rng = random.Random(0)
    found = [rank_kills.moments(seconds, at_work, number, rng) for number in range(20)]
    assert {(moment.node.partition(".")[2], moment.kill) for moment in found} == {
        (n, k) for n in DIVIDED for k in KILLS
    }
    assert {moment.at_work for moment in found} == {True, False}
    assert all(0 <= moment.delay <= (1.0 if moment.at_work else 3.0) for moment in found)


def test_a_moment_counts_from_where_the_ranks_work(tmp_path: Path) -> None:
    """Not from an earlier run's events."""
    events = tmp_path / "data/02_intermediate/demo/train_hard.ranks/events.jsonl"
    events.parent.mkdir(parents=True)
    events.touch()
    os.utime(events, (time.time() - 100,) * 2)
    watch = Watch(tmp_path, lambda: {"v.train_hard": time.monotonic() - 5})
    assert not watch.has_come(Moment("v.train_hard", True, 0.0, KILLS[0]))
    assert watch.has_come(Moment("v.train_hard", False, 0.0, KILLS[0]))
    events.touch()
    assert watch.has_come(Moment("v.train_hard", True, 0.0, KILLS[0]))


@linux
def test_a_rank_of_the_run_is_killed(rank: subprocess.Popen[bytes]) -> None:
    rng = random.Random(0)
    assert not rank_kills.strike(1 << 22, KILLS[0], rng)
    assert rank_kills.strike(os.getpid(), KILLS[0], rng)
    assert rank.wait(30) == -signal.SIGKILL


@linux
def test_who_is_left_behind(rank: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_kills, "_GONE_SECONDS", 0.2)
    assert rank_kills.left_behind(tmp_path / "project") == [rank.pid]
    assert rank_kills.left_behind(tmp_path / "other") == []
    rank.kill()
    assert rank_kills.left_behind(tmp_path / "project") == []


def test_what_is_equal() -> None:
    one = {"model a": np.ones(3, np.float32), "model label_side.centroids": np.ones(3, np.float32)}
    assert rank_kills.difference(one, one) == 0
    assert rank_kills.difference({**one, "model a": one["model a"] + np.float32(3e-5)}, one) > 1
    assert rank_kills.difference({**one, "model label_side.centroids": one["model a"] + np.float32(3e-5)}, one) < 1
    assert rank_kills.difference({}, one) == float("inf")
    keys, others = ({"layer.self_attn.in_proj_bias": np.float32([0, n, 1 - n])} for n in (1, 0))
    assert rank_kills.difference(keys, {"layer.self_attn.in_proj_bias": np.float32([0, 0.5, 0])}) == 0
    assert rank_kills.difference(keys, others) > 1
    metrics = json.dumps({"P": {"1": 0.5}, "n": 3})
    assert not rank_kills.metrics_differ(metrics, json.dumps({"P": {"1": 0.5003}, "n": 3}))
    assert rank_kills.metrics_differ(metrics, json.dumps({"P": {"1": 0.501}, "n": 3}))
    assert rank_kills.metrics_differ(metrics, json.dumps({"n": 3}))


def test_a_trial_that_did_not_end_well_keeps_its_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "log").write_text("why")
    assert rank_kills.said("1/2: equal", project, tmp_path / "kept") == []
    assert not (tmp_path / "kept").exists()
    assert rank_kills.said("2/2: DIFFERENT", project, tmp_path / "kept") == ["2/2: DIFFERENT"]
    assert (tmp_path / "kept/log").read_text() == "why"
    assert capsys.readouterr().out.splitlines() == ["1/2: equal", "2/2: DIFFERENT"]
