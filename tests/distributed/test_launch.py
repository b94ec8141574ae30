"""However a rank ends: one sentence, no rank left behind, and a stop that waits for the checkpoint."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.distributed.ends import start

from vixml.core.errors import ConfigError, StateError
from vixml.core.signals import EXIT_STOPPED, Stopped
from vixml.distributed.launch import _reason, alive, clear

PIDS = ("pid-0", "pid-1")


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"
    return True


def are_gone(folder: Path) -> bool:
    return all(is_gone(int((folder / name).read_text())) for name in PIDS)


def begun(folder: Path) -> bool:
    return all((folder / name).exists() and (folder / name).read_text() for name in PIDS)


@contextmanager
def launcher(folder: Path, mode: str, **options: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that launches ranks, once they work."""
    process = subprocess.Popen([sys.executable, "-m", "tests.distributed.ends", str(folder), mode], **options)
    try:
        wait_for(lambda: begun(folder))
        yield process
    finally:
        process.kill()


def test_an_error_of_a_rank_is_the_errors_of_the_run(tmp_path: Path) -> None:
    """Of the same kind and with the same remedy; not a traceback for each rank."""
    with pytest.raises(ConfigError) as caught:
        start(tmp_path, "error")
    assert caught.value.what == "rank 1: the setting is wrong"
    assert (caught.value.found, caught.value.expected, caught.value.remedy) == (3, "4", "set it to 4.")
    assert are_gone(tmp_path)


def test_a_crash_of_a_rank_is_named_with_the_folder_of_its_output(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"rank 1 ended with an error.*RuntimeError: boom") as caught:
        start(tmp_path, "crash")
    assert "boom" in "".join(file.read_text() for file in Path(str(caught.value.file)).rglob("stderr.log"))
    assert are_gone(tmp_path)


def test_a_killed_rank_is_named_and_the_next_launch_starts_clean(tmp_path: Path) -> None:
    """Not the broken connection that the other one sees."""
    with pytest.raises(StateError, match=r"rank 1 was killed.*SIGKILL"):
        start(tmp_path, "killed")
    assert are_gone(tmp_path)
    start(tmp_path, "nothing")
    assert are_gone(tmp_path)


def test_a_stop_waits_for_the_checkpoint_however_long_it_takes(tmp_path: Path) -> None:
    with launcher(tmp_path, "train") as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == EXIT_STOPPED
    assert (tmp_path / "saved").exists()
    assert are_gone(tmp_path)


def test_a_rank_without_training_ends_at_once_when_it_is_asked_to_stop(tmp_path: Path) -> None:
    """Asked itself: the run that launched it stops too, and what the other rank sees of it is not the reason."""
    with launcher(tmp_path, "hang") as process:
        os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGTERM)
        assert process.wait(300) == EXIT_STOPPED
    assert are_gone(tmp_path)


def test_an_error_after_a_signal_is_said(tmp_path: Path) -> None:
    with launcher(tmp_path, "late", stderr=subprocess.PIPE) as process:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert b"rank 1: the setting is wrong" in said
    assert are_gone(tmp_path)


def test_a_rank_whose_launcher_ended_before_it_looked_ends_too() -> None:
    """Not only one that sees its parent change."""
    program = "from vixml.distributed.rank import _end_with; _end_with(2 ** 22)"
    assert subprocess.run([sys.executable, "-c", program], timeout=300, check=False).returncode == 1


def test_a_launch_waits_for_the_ranks_of_one_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with alive(tmp_path):
        monkeypatch.setattr("vixml.distributed.launch._LINGER_SECONDS", 0.2)
        with pytest.raises(StateError, match=r"still work here.*end them"):
            clear(tmp_path)
    clear(tmp_path)


@pytest.mark.parametrize(
    ("ends", "told", "said"),
    [
        ({0: (-9, 30), 1: (1, 0)}, "RuntimeError: boom", "rank 1 ended with an error.*boom"),  # the agent killed rank 0
        ({0: (-15, 0), 1: (-9, 0)}, "RuntimeError: connection", "rank 1 was killed.*SIGKILL"),
        ({0: (75, 0), 1: (-15, 1)}, None, ""),  # stopped before it joined the others, or after it left them
    ],
)
def test_what_came_first_is_the_reason(
    tmp_path: Path, ends: dict[int, tuple[int, int]], told: str | None, said: str
) -> None:
    if told is not None:
        record = {"rank": 1, "time": 1.0, "kind": None, "stopped": False, "facts": {}, "text": told}
        (tmp_path / "error-1.json").write_text(json.dumps(record))
    failures = {rank: SimpleNamespace(exitcode=code, timestamp=after) for rank, (code, after) in ends.items()}
    reason = _reason(tmp_path, SimpleNamespace(failures=failures))  # type: ignore[arg-type]
    assert isinstance(reason, StateError if said else Stopped)
    assert re.search(said, str(reason))


@pytest.mark.parametrize("how", ["a second signal", "a kill of the launcher"])
def test_no_rank_outlives_its_launcher(tmp_path: Path, how: str) -> None:
    with launcher(tmp_path, "hang") as process:
        if how == "a second signal":
            process.send_signal(signal.SIGINT)
            wait_for((tmp_path / "stop").exists)
            process.send_signal(signal.SIGINT)
        else:
            os.kill(process.pid, signal.SIGKILL)
        assert process.wait(300) != 0
    wait_for(lambda: are_gone(tmp_path), 20)
