"""Ranks that end in every way, and the process that launches them: `python -m tests.distributed.ends FOLDER MODE`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

from vixml.core.errors import ConfigError
from vixml.core.progress import progress
from vixml.core.signals import Stopped, StopRequest
from vixml.distributed import group
from vixml.distributed.launch import Machines, launch
from vixml.distributed.rank import joined


def work(folder: Path, mode: str) -> None:
    """Do what `mode` says, as one of the ranks."""
    if mode in ("train", "late"):
        train(folder, mode)
    at_work(folder)
    if mode == "error" and group.rank() == 1:
        raise ConfigError("the setting is wrong", found=3, expected="4", remedy="set it to 4.")
    if mode == "crash" and group.rank() == 1:
        raise RuntimeError("boom")
    if mode == "killed" and group.rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "talk":
        logging.getLogger("vixml.test").info("rank %d of %d", group.rank(), group.num_ranks())
        for _ in progress(range(3), desc="counting", unit="sheep"):
            pass
    if mode == "hang":
        time.sleep(600)


def train(folder: Path, mode: str) -> None:
    """Take steps until a signal asks to stop, as the training loop does."""
    with StopRequest() as stop:
        at_work(folder)  # only now, so that no signal comes before it is expected
        while not group.largest(stop.received is not None)[0]:
            time.sleep(0.05)
        if mode == "late" and group.rank() == 1:  # an error that does not follow from the stop
            raise ConfigError("the setting is wrong", remedy="set it to 4.")
        if mode == "late":
            time.sleep(600)
        group.decided(lambda: save(folder))  # the others wait: the agent ends all when one of them ends
    raise Stopped


def save(folder: Path) -> None:
    """Write a checkpoint that takes its time."""
    time.sleep(1)
    (folder / "saved").touch()


def at_work(folder: Path) -> None:
    """Say that this rank works."""
    (folder / f"pid-{group.rank()}").write_text(str(os.getpid()))


def start(folder: Path, mode: str) -> None:
    """Launch two ranks."""
    launch("tests.distributed.ends", [str(folder), mode, "rank"], folder=folder, machines=Machines(2))


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[3:] == ["rank"]:
        with joined(place):
            work(place, sys.argv[2])
    else:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        start(place, sys.argv[2])
