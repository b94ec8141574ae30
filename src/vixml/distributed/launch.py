"""Start the ranks of one piece of work with torch's elastic agent, follow them, and end with them.

The agent runs in a thread of this process, which uses no GPU. Ranks are separate processes that live as long as the
piece of work. They share a folder with this process:

    stop      this process was asked to stop: the ranks end after the current step
    abort     this process ends at once, and so do the ranks
    events    log records and progress of the leader, one per line
    error-R   why rank R ended before its work was done
    alive     locked by every rank as long as it lives: the next launch waits for ranks of a killed one
    meeting   where the ranks of one machine find each other: a file, so that no port is open to the network
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vixml.core import errors
from vixml.core.errors import StateError, VixmlError
from vixml.core.files import read_json
from vixml.core.progress import Progress, progress
from vixml.core.signals import EXIT_STOPPED, Stopped, StopRequest

log = logging.getLogger(__name__)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

STOP, ABORT, EVENTS, LOGS, MEETING, ALIVE = "stop", "abort", "events.jsonl", "logs", "meeting", "alive"
LAUNCHER, LAUNCHED_IN = "VIXML_LAUNCHER", "VIXML_LAUNCHED_IN"
"""Environment of a rank: the process that started it, and the folder of that launch, on its own machine."""
_LOOK_SECONDS = 0.1
_LINGER_SECONDS = 30.0  # ranks notice within a second that their launcher is gone
_KILLS = (-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS)
_LOOPBACK = ("127.0.0.1:", "localhost:")
_NO_SERVER = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"  # the agent would open a port for the ranks
_AGAIN = "run the same command again: it continues from the newest checkpoint."


@dataclass(frozen=True)
class Machines:
    """Where the ranks run.

    Args:
        processes: Ranks on this machine.
        count: Machines; the others join by the same rendezvous.
        rendezvous: `HOST:PORT` where they meet; empty for this machine alone.
        patience: Seconds to wait for the other machines.
    """

    processes: int
    count: int = 1
    rendezvous: str = ""
    patience: float = 1800


def launch(module: str, arguments: list[str], *, folder: Path, machines: Machines) -> None:
    """Run `python -m module arguments` in every rank and wait for all of them.

    Args:
        module: What a rank runs; it begins with `vixml.distributed.rank.joined`.
        arguments: Its arguments.
        folder: Shared with the ranks, emptied here.
        machines: How many ranks, and where.

    Raises:
        VixmlError: A rank ended with it, or was killed.
        Stopped: A signal asked this process or a rank to stop; the state is saved where they were training.
    """
    clear(folder)
    ended: list[BaseException | None] = []
    agent = threading.Thread(target=_run_agent, args=(module, arguments, folder, machines, ended), daemon=True)
    with StopRequest() as stop, _Followed(folder / EVENTS) as events:
        agent.start()
        try:
            while agent.is_alive():
                agent.join(_LOOK_SECONDS)
                events.look()
                if stop.received and not (folder / STOP).exists():
                    (folder / STOP).touch()
                    if not any((folder / LOGS).rglob("*.log")):  # it still waits for other machines
                        (folder / ABORT).touch()
                        raise Stopped
        except BaseException:  # a second signal
            (folder / ABORT).touch()
            agent.join(10)
            raise
        events.look()
    if ended[0] is not None:
        raise _reason(folder, ended[0]) from ended[0]
    if stop.received:
        raise Stopped


def clear(folder: Path) -> None:
    """Empty the folder that a launch shares with its ranks, except for the job in it.

    Raises:
        StateError: Ranks of an earlier launch, whose launcher was killed, do not end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _wait_for_earlier_ranks(folder)
    marks = (folder / name for name in (STOP, ABORT, EVENTS, MEETING, f"{MEETING}.ranks"))
    for path in [*marks, *folder.glob("error-*.json")]:
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / LOGS, ignore_errors=True)


def _wait_for_earlier_ranks(folder: Path) -> None:
    """Wait until no rank lives that works in this folder: its last checkpoint would come on top of ours."""
    if fcntl is None:
        return
    until = time.monotonic() + _LINGER_SECONDS
    with (folder / ALIVE).open("ab") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StateError(
                        "processes of an earlier run still work here", file=folder, remedy="end them, then run again."
                    ) from None
                time.sleep(_LOOK_SECONDS)
            except OSError:  # a disk without locks
                return
            else:
                return


@contextmanager
def alive(folder: Path) -> Iterator[None]:
    """Let the next launch in this folder wait for this rank, inside the block."""
    with (folder / ALIVE).open("ab") as stream:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def _run_agent(
    module: str, arguments: list[str], folder: Path, machines: Machines, ended: list[BaseException | None]
) -> None:
    """Run the agent of this machine; append how it ended."""
    try:
        from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
        (folder / LOGS).mkdir(parents=True, exist_ok=True)
        patience = {"timeout": int(machines.patience), "join_timeout": int(machines.patience)}
        one = not machines.rendezvous
        config = LaunchConfig(
            min_nodes=machines.count,
            max_nodes=machines.count,
            nproc_per_node=machines.processes,
            run_id="vixml",
            rdzv_backend="c10d",
            rdzv_endpoint=str(folder / MEETING) if one else machines.rendezvous,
            rdzv_configs={**patience, "store_type": "file"} if one else patience,
            local_addr="127.0.0.1" if one or machines.rendezvous.startswith(_LOOPBACK) else None,
            max_restarts=0,
            monitor_interval=_LOOK_SECONDS,
            logs_specs=DefaultLogsSpecs(log_dir=str(folder / LOGS), redirects=Std.ALL),
        )
        ours = {LAUNCHER: str(os.getpid()), LAUNCHED_IN: str(folder.absolute())}
        with _environment({**ours, _NO_SERVER: "1"} if one else ours):
            elastic_launch(config, sys.executable)("-m", module, *arguments)
    except BaseException as err:  # the waiting thread reports it
        ended.append(err)
    else:
        ended.append(None)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _told(folder: Path) -> list[dict[str, Any]]:
    """Return what the ranks wrote down of their ends, the first one first."""
    return sorted((read_json(path) for path in folder.glob("error-*.json")), key=lambda record: record["time"])


def _reason(folder: Path, error: BaseException) -> VixmlError | Stopped:
    """Return the one reason for which the ranks ended: an error of ours, a kill, or whatever came first.

    What came later may follow from it: a rank that was stopped or killed breaks the connections of the others.
    """
    told = _told(folder)
    for record in told:
        if record["kind"] is not None:
            kind = getattr(errors, record["kind"])
            return kind(**{**record["facts"], "what": f"rank {record['rank']}: {record['facts']['what']}"})
    if nobody_came(error):
        return StateError(
            "the other machines did not join in time",
            remedy="start `vixml join HOST:PORT` on each of them, then run this again.",
        )
    failures = getattr(error, "failures", {})
    begin = min((failure.timestamp for failure in failures.values()), default=0)
    # the agent kills whom its SIGTERM has not ended after 30 s: that comes later
    first = {number: failure for number, failure in sorted(failures.items()) if failure.timestamp <= begin + 1}
    for number, failure in first.items():
        if failure.exitcode in _KILLS:
            return StateError(
                f"rank {number} was killed",
                found=signal.Signals(-failure.exitcode).name,
                remedy=f"lower training.processes or batching.chunk_tokens if memory ran out; {_AGAIN}",
            )
    codes = {failure.exitcode for failure in first.values()}
    if told[0]["stopped"] if told else codes & {EXIT_STOPPED, -signal.SIGTERM}:
        return Stopped()
    if told:
        return StateError(
            f"rank {told[0]['rank']} ended with an error",
            file=folder / LOGS,
            found=told[0]["text"],
            remedy=f"see the output of each rank in that folder; {_AGAIN}",
        )
    return StateError(
        "the ranks could not be started", file=folder / LOGS, found=str(error).strip().partition("\n")[0], remedy=_AGAIN
    )


def nobody_came(error: BaseException | None) -> bool:
    """Return whether a launch ended because its machines did not meet."""
    from torch.distributed.elastic.rendezvous import RendezvousError

    return isinstance(error, RendezvousError)


class _Followed:
    """Says in this process what the leader writes down: its log, and its progress."""

    def __init__(self, file: Path) -> None:
        self._file, self._read = file, 0
        self._bar: Progress | None = None
        self._shown: tuple[str, int | None] | None = None
        self._done, self._stack = 0, ExitStack()

    def __enter__(self) -> _Followed:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def look(self) -> None:
        """Say what is new."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            stream.seek(self._read)
            text = stream.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            if "log" in event:
                logging.getLogger(event["log"]).log(event["level"], "%s", event["text"])
            else:
                self._show(**event)

    def _show(self, desc: str, done: int, total: int | None, unit: str, facts: dict[str, Any]) -> None:
        if self._bar is None or self._shown != (desc, total):
            self._stack.close()
            self._bar = self._stack.enter_context(progress(desc=desc, total=total, unit=unit))
            self._bar.skip(done)
            self._shown, self._done = (desc, total), done
        self._bar.update(done - self._done)
        self._done = done
        if facts:
            self._bar.set_postfix(**facts)


def write_event(file: Path, **event: Any) -> None:
    """Append one event of the leader."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(event) + "\n")


def write_error(folder: Path, rank: int, error: BaseException) -> None:
    """Write down why a rank ended, for the process that launched it."""
    kind = type(error).__name__ if isinstance(error, VixmlError) else None
    facts = {}
    if isinstance(error, VixmlError):
        known = ("what", "file", "line", "found", "expected", "remedy")
        facts = {name: value if isinstance(value := getattr(error, name), int | None) else str(value) for name in known}
    record = {
        "rank": rank,
        "time": time.time(),
        "kind": kind,
        "stopped": isinstance(error, Stopped),
        "facts": facts,
        "text": f"{type(error).__name__}: {error}",
    }
    temporary = folder / f".error-{rank}"
    temporary.write_text(json.dumps(record), encoding="utf-8")
    os.replace(temporary, folder / f"error-{rank}.json")
