"""What a rank does besides its work: join the others, check whether it should go on, report how it ended."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from vixml.core import progress
from vixml.core.errors import user_error
from vixml.core.progress import Position
from vixml.core.signals import Stopped
from vixml.distributed import group
from vixml.distributed.launch import (
    ABORT,
    EVENTS,
    LAUNCHED_IN,
    LAUNCHER,
    MEETING,
    STOP,
    alive,
    write_error,
    write_event,
)

_LOOK_SECONDS = 0.5
_PATIENCE = timedelta(hours=12)
"""A rank that died is found by the agent: whoever waits for another may wait as long as that one works."""


@contextmanager
def joined(folder: Path | None) -> Iterator[Path]:
    """Be one of the ranks of a launch, inside the block.

    Args:
        folder: Shared with the process that launched the piece of work; None on a machine that only joins in: the other
            ranks know it.

    Yields:
        The folder.
    """
    number, beside = int(os.environ["RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    launcher = int(os.environ.get(LAUNCHER) or os.getppid())
    threading.Thread(target=_end_with, args=(launcher,), daemon=True).start()
    signal.signal(signal.SIGTERM, _stop)

    import torch  # takes seconds, in which the launcher may be killed
    import torch.distributed as dist

    if os.environ["MASTER_ADDR"] == "127.0.0.1":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, _cores() // beside))
    on_cards = torch.cuda.is_available() and torch.cuda.device_count() >= beside
    if on_cards:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with ExitStack() as living:
        try:
            backend = "cpu:gloo,cuda:nccl" if on_cards else "gloo"
            dist.init_process_group(backend, timeout=_PATIENCE, **_meeting(folder, number))
            folder = _agreed(folder)
            living.enter_context(alive(folder))
            threading.Thread(target=_obey, args=(folder,), daemon=True).start()
            if number == 0:
                _tell(folder / EVENTS)
            else:
                logging.disable(logging.CRITICAL)  # all say the same
            yield folder
            dist.barrier()
            dist.destroy_process_group()
        except BaseException as err:
            if folder is not None:
                write_error(folder, number, user_error(err) or err)
            raise  # also what stopped this rank: the agent then ends the others


def _meeting(folder: Path | None, number: int) -> dict[str, Any]:
    """Return how the ranks find each other: by a file on one machine, else as the environment says."""
    if folder is None or not (folder / MEETING).exists():
        return {}
    file = (folder / f"{MEETING}.ranks").absolute()
    return {"init_method": file.as_uri(), "rank": number, "world_size": int(os.environ["WORLD_SIZE"])}


def _agreed(folder: Path | None) -> Path:
    """Return the folder that the launched ranks were given."""
    own = b"" if folder is None else str(folder).encode() + b"\0"
    told = group.in_order(np.frombuffer(own, dtype=np.uint8)).tobytes()
    return Path(told.partition(b"\0")[0].decode())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with(launcher: int) -> None:
    """End this process with the one that launched it, also if that is gone already."""
    while os.getppid() == launcher:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def _stop(number: int, frame: FrameType | None) -> None:
    """End this process where no training takes the signal, which would end after the present step."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Stopped


def _obey(folder: Path) -> None:
    """End this process at once, or stop its work, where the run or the process that launched it says so.

    One rank of a machine is enough to stop: it tells the others.
    """
    own = Path(os.environ.get(LAUNCHED_IN) or folder)
    first = os.environ["LOCAL_RANK"] == "0"
    while not ((folder / ABORT).exists() or (own / ABORT).exists()):
        time.sleep(_LOOK_SECONDS)
        if first and (own / STOP).exists():
            first = False  # once
            os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)


class _ToLauncher(logging.Handler):
    """Hands log records to the process that launched this one."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        write_event(self._file, log=record.name, level=record.levelno, text=self.format(record))


def _tell(file: Path) -> None:
    """Let this process's log and progress be said by the one that launched it."""
    root = logging.getLogger()
    root.addHandler(_ToLauncher(file))
    root.setLevel(logging.WARNING)
    logging.getLogger("vixml").setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    progress.LOG_SECONDS = float("inf")  # the other process writes its lines

    def say(position: Position) -> None:
        shown = {name: getattr(position, name) for name in ("desc", "done", "total", "unit", "facts")}
        write_event(file, **shown)

    progress.listeners[:] = [say]
