"""Who a process is, so that another one can say later whether it still lives."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from a later one of the same number.

    Args:
        host: Name of its machine, for people.
        system: This start of this machine, and the space that process numbers belong to (containers have their own).
        pid: Its number.
        started: When it started, in clock ticks since the machine did; 0 where the system does not say.
    """

    host: str
    system: str
    pid: int
    started: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ProcessIdentity | None:
        """Return what `as_document` wrote, None where it is something else."""
        try:
            return cls(str(document["host"]), str(document["system"]), int(document["pid"]), int(document["started"]))
        except (KeyError, TypeError, ValueError):
            return None

    def as_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    def lives(self) -> bool | None:
        """Return whether it still runs; None where this machine cannot know."""
        if self.system != _system():
            return None
        started = _start_of(self.pid)
        return started is not None and started == self.started


def this_process() -> ProcessIdentity:
    """Return who this process is."""
    return ProcessIdentity(socket.gethostname(), _system(), os.getpid(), _start_of(os.getpid()) or 0)


def _system() -> str:
    """Return what only processes share that see each other's numbers."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return f"{sys.platform} {socket.gethostname()} {uuid.getnode():x}"


def _start_of(pid: int) -> int | None:
    """Return when a process started, 0 where the system does not say; None where there is none, or only its remains."""
    if not _PROC.joinpath("self/stat").exists():
        try:
            os.kill(pid, 0)
        except PermissionError:
            return 0
        except (OSError, OverflowError):
            return None
        return 0
    try:
        # the name, in brackets, may hold anything
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
