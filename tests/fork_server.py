"""One fork server for all workers of a run of the tests, so that what it imports is imported once.

Python's own (`multiprocessing.forkserver`) belongs to the process that started it: each worker would start another.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from multiprocessing import forkserver, spawn, util
from pathlib import Path
from typing import Any

_LONGEST = 100
"""Most characters of a socket's path."""


def share(folder: Path, preload: list[str]) -> None:
    """Let this process use the fork server of a folder; the first process there starts it.

    The server ends when the last process that uses it has ended. Where a server cannot be shared, this process has its
    own.

    Args:
        folder: A folder that all workers know.
        preload: Modules that the server imports.
    """
    place = folder / "fork-server"
    address, alive, ready = place / "address", place / "alive", place / "ready"
    if len(str(address)) > _LONGEST or sys.version_info >= (3, 14):  # later ones ask for a key besides
        return
    try:
        place.mkdir()
    except FileExistsError:
        deadline = time.monotonic() + 60
        while not ready.exists():
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
    else:
        _start(address, alive, preload)
        ready.touch()
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    server._forkserver_address = str(address)
    server._forkserver_alive_fd = os.open(alive, os.O_WRONLY)
    server.ensure_running = lambda: None


def _start(address: Path, alive: Path, preload: list[str]) -> None:
    """Start the server as `multiprocessing` does; it ends when no one has `alive` open for writing any more."""
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    os.open(alive, os.O_WRONLY)  # stays open until this process ends
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        passed = [listener.fileno(), reader]
        given = f"{passed[0]}, {passed[1]}, {preload!r}, sys_path={sys.path!r}"
        program = os.fsdecode(spawn.get_executable())
        flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
        words = [program, *flags, "-c", f"from multiprocessing.forkserver import main; main({given})"]
        util.spawnv_passfds(os.fsencode(program), words, passed)  # type: ignore[attr-defined]
    os.close(reader)
