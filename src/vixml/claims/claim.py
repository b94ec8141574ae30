"""Two runs that write the same outputs: the second one learns about the first.

A run claims the folders and files that it is going to write. All claims of a place are lines of one file,
`claims.jsonl`, which is only ever appended to, under a lock of the file system (also over NFS). A claim of a process
that is gone does not count. On the same machine that is looked up; a process of another machine shows that it lives by
a heartbeat, a small file that it changes every few seconds. Whether an old one still beats is watched, as clocks of
machines differ and jump.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vixml.claims.process import ProcessIdentity, this_process
from vixml.core.errors import StateError
from vixml.core.storage import writing

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
"""From one heartbeat to the next."""

PATIENCE_SECONDS = 45.0
"""How long a heartbeat of another machine is watched before its process counts as gone."""

FOLDER = ".claims"
"""Folder of the claims in the work folder of a data set."""

_FILE = "claims.jsonl"


@dataclass(frozen=True)
class Claim:
    """Who writes what.

    Args:
        token: Name of the claim.
        process: Whose it is.
        since: When it was made, for people.
        command: What was typed.
        writes: Absolute path -> name of the output.
    """

    token: str
    process: ProcessIdentity
    since: str
    command: str
    writes: Mapping[str, str]

    def shared(self, writes: Mapping[str, str]) -> list[str]:
        """Return the names of the outputs that both write: the same path, or one inside the other."""
        return sorted({name for path, name in writes.items() if any(_overlap(path, other) for other in self.writes)})

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host}, since {self.since}: {self.command}"


class HeldClaim:
    """The claim of this process; its heartbeat beats until it is released."""

    def __init__(self, folder: Path, claim: Claim) -> None:
        self._folder, self.claim, self._ended = folder, claim, threading.Event()
        self._beat = _beat_file(folder, claim.token)
        self._beat.write_text("first", encoding="ascii")  # before anybody can see the claim

    def start(self) -> None:
        """Let the heart beat."""
        threading.Thread(target=self._go_on, name="heartbeat", daemon=True).start()

    def check(self) -> None:
        """Make sure that no other run has taken over, which can happen while a process is suspended for minutes.

        Raises:
            StateError: Another run writes these outputs now.
        """
        if self._ended.is_set():
            return
        with _open_locked(self._folder) as stream:
            claims = _read(stream)
            if self.claim.token not in claims:
                _refuse(list(claims.values()), self.claim.writes, lambda claim: claim.process.lives() is not False)
                _append(stream, _line(self.claim))  # the file was removed by hand

    def release(self) -> None:
        """Give it back; nothing happens the second time."""
        if self._ended.is_set():
            return
        self._ended.set()
        with suppress(OSError, StateError):  # the disk is full or gone: the claim ends with the process
            with _open_locked(self._folder) as stream:
                _append(stream, {"released": self.claim.token})
            self._beat.unlink(missing_ok=True)

    def _go_on(self) -> None:
        number = 0
        while True:
            with suppress(OSError):
                self._beat.write_text(str(number), encoding="ascii")
            number += 1
            if self._ended.wait(BEAT_SECONDS):
                with suppress(OSError):
                    self._beat.unlink(missing_ok=True)
                return


def claim(folder: Path, writes: Mapping[str, str], command: str) -> HeldClaim:
    """Claim what a run writes.

    Args:
        folder: Where claims are kept; made where there is none.
        writes: Absolute path -> name of the output.
        command: What was typed.

    Raises:
        StateError: A living process writes one of them; it is named.
        StorageError: The folder cannot be written.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    own = Claim(uuid.uuid4().hex, this_process(), now, command, dict(writes))
    while True:
        with writing(folder), _open_locked(folder) as stream:
            claims = list(_read(stream).values())
            others = [other for other in claims if other.shared(writes) and other.process.lives() is not False]
            _refuse(others, writes, lambda other: bool(other.process.lives()))
            if not others:
                if all(other.process.lives() is False for other in claims):  # else the file grows for ever
                    stream.truncate(0)
                    _remove_beats(folder)
                held = HeldClaim(folder, own)
                _append(stream, _line(own))
                held.start()
                return held
        for other in others:
            _log.info("Watching for at most %.0f s whether this run still lives: %s", PATIENCE_SECONDS, other)
            alive = _still_beats(_beat_file(folder, other.token))
            with writing(folder), _open_locked(folder) as stream:
                if alive:
                    _refuse([other], writes, lambda _: True)
                _append(stream, {"released": other.token})


def is_at_work(process: ProcessIdentity, folder: Path) -> bool:
    """Return whether a process still lives, as far as can be known at once.

    Args:
        process: The process.
        folder: Where its claims are kept.
    """
    lives = process.lives()
    if lives is not None:
        return lives
    if not folder.is_dir():  # of another project, on another machine
        return True
    try:
        with _open_locked(folder) as stream:
            claims = [claim for claim in _read(stream).values() if claim.process == process]
    except (OSError, StateError):
        return True
    return any(_beats_now(folder, claim.token) for claim in claims)


def _refuse(claims: list[Claim], writes: Mapping[str, str], lives: Callable[[Claim], bool]) -> None:
    for other in claims:
        names = other.shared(writes)
        if names and lives(other):
            more = f" and {len(names) - 3} more outputs" if len(names) > 3 else ""
            raise StateError(
                f"another run is writing {', '.join(names[:3])}{more}",
                found=str(other),
                remedy="wait until it has ended, or end it; then type the command again.",
            )


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + os.sep) or other.startswith(one + os.sep)


@contextmanager
def _open_locked(folder: Path) -> Iterator[IO[bytes]]:
    """Yield the file of claims, locked until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("a+b") as stream:
        if fcntl is not None:
            try:
                _lock(stream, folder)
            except OSError as err:
                _log.warning("%s has no locks (%s): two runs that start in one moment may not notice.", folder, err)
        yield stream


def _lock(stream: IO[bytes], folder: Path) -> None:
    """Wait for the lock, which is held for moments; but for ever by a process that was suspended in one of them.

    Raises:
        StateError: It was not to be had.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not _try_lock(stream):
        if time.monotonic() > end:
            alive = [str(claim) for claim in _read(stream).values() if claim.process.lives() is not False]
            raise StateError(
                "another run keeps the list of runs locked and does not go on; it was suspended, perhaps by Ctrl-Z",
                file=folder / _FILE,
                found="; ".join(alive) or None,
                remedy="let it go on (`fg`), or end it; then type the command again.",
            )
        time.sleep(0.02)


def _try_lock(stream: IO[bytes]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(stream: IO[bytes]) -> dict[str, Claim]:
    """Return the claims that were not released, by their tokens; a line that was torn by a kill does not count."""
    claims: dict[str, Claim] = {}
    stream.seek(0)
    for line in stream.read().splitlines():
        try:
            entry = json.loads(line)
            if "released" in entry:
                claims.pop(entry["released"], None)
            elif (process := ProcessIdentity.of(entry["process"])) is not None:
                token, since, command = (str(entry[key]) for key in ("token", "since", "command"))
                claims[token] = Claim(token, process, since, command, dict(entry["writes"]))
        except (ValueError, KeyError, TypeError):
            continue
    return claims


def _append(stream: IO[bytes], entry: Mapping[str, Any]) -> None:
    """Add a line, also behind one that was torn; it is on the disk when this returns."""
    stream.write(b"\n" + json.dumps(entry, ensure_ascii=False).encode() + b"\n")
    stream.flush()
    os.fsync(stream.fileno())


def _line(claim: Claim) -> dict[str, Any]:
    return {**vars(claim), "process": claim.process.as_document()}


def _beat_file(folder: Path, token: str) -> Path:
    return folder / f"{token}.beat"


def _remove_beats(folder: Path) -> None:
    for file in folder.glob("*.beat"):
        file.unlink(missing_ok=True)


def _beats_now(folder: Path, token: str) -> bool:
    """Return whether a heartbeat is certainly alive: as new as a file that is written now, by the disk's own clock."""
    mark = folder / f"{uuid.uuid4().hex}.mark"
    try:
        mark.write_text("now", encoding="ascii")
        age = mark.stat().st_mtime - _beat_file(folder, token).stat().st_mtime
    except OSError:
        return False
    finally:
        with suppress(OSError):
            mark.unlink(missing_ok=True)
    return 0 <= age < 2 * BEAT_SECONDS


def _still_beats(file: Path) -> bool:
    """Watch a heartbeat; return whether it changed."""
    first, end = _content(file), time.monotonic() + PATIENCE_SECONDS
    while first is not None and time.monotonic() < end:
        time.sleep(min(1.0, PATIENCE_SECONDS / 10))
        if _content(file) not in (first, b""):
            return _content(file) is not None
    return False


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
