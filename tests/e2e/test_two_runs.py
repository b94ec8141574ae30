"""Two whole `kedro run` of one variant at the same time, as two users of one folder start them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
from pathlib import Path

import pytest
import yaml
from tests.processes import program, run_command, start, wait_until

pytestmark = pytest.mark.e2e


def test_the_second_one_ends_at_once_and_names_the_first_which_goes_on_as_if_alone(ingested, tiny):
    from mlflow import MlflowClient

    local = ingested / "conf/local/parameters.yml"
    local.parent.mkdir(exist_ok=True)
    local.write_text(yaml.safe_dump(tiny), encoding="utf-8")
    words = ["kedro", "run", "--pipelines=encoder_text"]
    claims = ingested / "data/02_intermediate/demo/.claims/claims.jsonl"

    first = start(program, words, folder=ingested, outputs=(ingested / "out.txt", ingested / "err.txt"))
    wait_until(lambda: _claims(claims, first.pid), first.is_alive, seconds=900)
    with claims.open("ab") as stream:  # not in the moment in which it has the list of runs locked itself
        fcntl.flock(stream, fcntl.LOCK_EX)
        os.kill(first.pid, signal.SIGSTOP)  # it holds its outputs as long as this test wants
    try:
        second = run_command(*words, folder=ingested)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.join()

    said = " ".join((second.stdout + second.stderr).split())
    assert second.returncode == 1
    assert re.search(rf"another run is writing .*process {first.pid} on .*since 20\d\d", said)
    assert "Traceback" not in said
    assert first.exitcode == 0, (ingested / "err.txt").read_text()
    assert json.loads((ingested / "data/08_reporting/demo/encoder_text/metrics.json").read_text())["metrics"]
    client = MlflowClient(f"sqlite:///{ingested / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("vixml").experiment_id])
    assert [(run.info.run_name, run.info.status) for run in runs] == [("encoder_text", "FINISHED")]


def _claims(file: Path, pid: int) -> bool:
    """Tell whether a process is among those that ever claimed; the folder has the claims of what made its data, too."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    entries = [json.loads(line) for line in lines if line.endswith("}")]
    return any(entry["process"]["pid"] == pid for entry in entries if "process" in entry)
