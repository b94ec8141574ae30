"""The short form of `make torture`: SIGKILL inside nodes of a run, rerun, equal numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


def test_killed_runs_end_at_the_numbers_of_the_uninterrupted_one(tmp_path: Path) -> None:
    script = Path(__file__).with_name("torture.py")
    command = [sys.executable, str(script), "--variants", "encoder_vision", "--kills", "4", "--folder", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 trials ended at the numbers of the uninterrupted run" in done.stdout
