"""Two machines, played by two agents on the loopback address: `vixml join` lends the second one to the run."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.training.ranks.inputs import assert_same, dataset_inputs, weights
from tests.training.stage_runs import changed

from vixml.core.directories import WorkDirectory, publish
from vixml.training.ranks.job import run_stage


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_machine_joins_a_run_and_ends_when_there_is_no_more_work(tmp_path: Path) -> None:
    """It takes part in both stages that follow, is told the job by the other, and the numbers are those of one."""
    data = dataset_inputs(tmp_path / "data")
    place = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "vixml", "join", place, "--processes=1", "--patience=0.3"]
    joiner = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = {}
    try:
        for name, settings in (
            ("two", {"processes": 1, "machines": 2, "rendezvous": place}),
            ("one", {"processes": 1, "machines": 1, "rendezvous": ""}),
        ):
            work = WorkDirectory(tmp_path / name / "work")
            together = changed(data, training=settings)
            warmup = publish(run_stage("train_warmup", together, work=work, resume="auto"), tmp_path / name / "warmup")
            other = WorkDirectory(tmp_path / name / "refresh")
            built, report = run_stage("refresh_hard_negatives", together, warmup, work=other)
            found[name] = (weights(warmup), publish(built, tmp_path / name / "hard"), report["epoch"])
        printed, _ = joiner.communicate(timeout=180)
    finally:
        joiner.kill()
    assert joiner.returncode == 0, printed
    assert "Took part in 2 stages" in printed
    assert_same(found["two"][0], found["one"][0])
    assert found["two"][2] == found["one"][2] == 2
