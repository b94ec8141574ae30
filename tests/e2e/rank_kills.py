"""Kills of a run whose stages are divided among several ranks: of a rank, of the run, and by a signal that asks it.

Used by `torture.py --ranks N`. The agent that starts the ranks lives in the run: to kill one is to kill the other.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

DIVIDED = ("train_hard", "train_warmup", "refresh_hard_negatives", "embed")
"""The nodes that are divided among ranks."""
KILLS = ("SIGKILL of a rank", "SIGKILL of the run and its agent", "SIGTERM of the run")
ENDED = {KILLS[0]: (1,), KILLS[1]: (-signal.SIGKILL,), KILLS[2]: (75, -signal.SIGTERM)}
"""Kill -> how the run may end: with one sentence, at once, or stopped (outside of a stage simply by the signal)."""
_STARTED, _GONE_SECONDS, _TOLERANCE = "events.jsonl", 30.0, 1e-5
_IDLE = "self_attn.in_proj_bias"  # its middle third, the keys' bias, changes no attention: it follows rounding alone
_HALF = "label_side.centroids"  # means of a bank in half precision, where a last bit may go either way


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Args:
        node: In which node.
        at_work: Whether to wait until its ranks work, or only until the node has begun: they then import and meet.
        delay: Seconds from there on.
        kill: One of `KILLS`.
    """

    node: str
    at_work: bool
    delay: float
    kill: str

    def __str__(self) -> str:
        since = "its ranks worked" if self.at_work else "it began"
        return f"{self.kill} in {self.node} {self.delay:.2f} s after {since}"


class Watch:
    """When each node of a running run began, and when its ranks began to work.

    Args:
        project: Its folder.
        read_marks: Reads what nodes have begun.
    """

    def __init__(self, project: Path, read_marks: Callable[[], dict[str, float]]) -> None:
        self._project, self._read_marks = project, read_marks
        self.at_work: dict[str, float] = {}

    def look(self) -> dict[str, float]:
        """Return the nodes that have begun."""
        nodes = self._read_marks()
        for node in nodes:
            stage = node.rpartition(".")[2]
            if stage not in DIVIDED or node in self.at_work:
                continue
            files = self._project.glob(f"data/02_intermediate/**/{stage}.ranks/{_STARTED}")
            # A run empties its folders while they are listed: the next look finds them.
            with suppress(FileNotFoundError):
                if any(file.stat().st_mtime > nodes[node] - time.monotonic() + time.time() for file in files):
                    self.at_work[node] = time.monotonic()
        return nodes

    def has_come(self, moment: Moment) -> bool:
        """Return whether the seconds of `moment` begin to count."""
        return moment.node in self.look() and (not moment.at_work or moment.node in self.at_work)


def moments(seconds: dict[str, float], at_work: dict[str, float], number: int, rng: random.Random) -> Moment:
    """Return the moment of one trial: nodes, kinds of kill, and what the ranks are at take turns.

    Args:
        seconds: How long each node takes.
        at_work: How long of it its ranks work.
        number: Of the trial.
        rng: Draws the second.
    """
    nodes = [node for node in seconds if node.rpartition(".")[2] in DIVIDED]
    node, kill = nodes[(number // len(KILLS)) % len(nodes)], KILLS[number % len(KILLS)]
    busy = number % 4 != 3
    return Moment(node, busy, rng.uniform(0.0, (at_work if busy else seconds)[node]), kill)


def strike(pid: int, kill: str, rng: random.Random) -> bool:
    """Kill; return False where there was no rank to kill."""
    if kill != KILLS[0]:
        os.kill(pid, signal.SIGTERM if kill == KILLS[2] else signal.SIGKILL)
        return True
    ranks = _processes(lambda of, folder: of["VIXML_LAUNCHER"] == str(pid))
    if ranks:
        with suppress(ProcessLookupError):
            os.kill(rng.choice(ranks), signal.SIGKILL)
    return bool(ranks)


def left_behind(project: Path) -> list[int]:
    """Return the ranks that work in a project, after the time within which they must notice that nobody wants them."""
    until = time.monotonic() + _GONE_SECONDS
    while ranks := _processes(lambda of, folder: folder.startswith(f"{project.absolute()}{os.sep}")):
        if time.monotonic() > until:
            return ranks
        time.sleep(0.05)
    return []


def _processes(wanted: Callable[[dict[str, str], str], bool]) -> list[int]:
    """Return the living ranks of any launch for whose environment and folder `wanted` is true."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            pairs = (entry.partition("=") for entry in (place / "environ").read_bytes().decode().split("\0"))
            of = {name: value for name, _, value in pairs}
            if "VIXML_LAUNCHED_IN" in of and wanted(of, of["VIXML_LAUNCHED_IN"]):
                found.append(int(place.name))
    return found


def weights(folder: Path) -> dict[str, Any]:
    """Return all weights of a published model by file and name."""
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.stem} {name}": value for file in files for name, value in load_file(file).items()}


def difference(found: dict[str, Any], expected: dict[str, Any]) -> float:
    """Return the largest difference of two models' weights in units of what is allowed; infinite for other names."""
    if found.keys() != expected.keys():
        return float("inf")
    return max(
        float(np.abs(_counted(name, found[name]) - _counted(name, expected[name])).max(initial=0.0))
        / (100 * _TOLERANCE if name.endswith(_HALF) else _TOLERANCE)
        for name in found
    )


def _counted(name: str, values: Any) -> Any:
    """Return the numbers of a weight that change what the model answers."""
    numbers = values.astype(np.float64)
    if name.endswith(_IDLE):
        width = len(numbers) // 3
        numbers[width : 2 * width] = 0.0
    return numbers


def metrics_differ(found: str, expected: str, points: float = 5e-4) -> bool:
    """Return whether two documents of metrics differ by more than two digits of a percent anywhere."""
    one, other = (dict(_numbers(json.loads(text))) for text in (found, expected))
    return one.keys() != other.keys() or any(abs(one[name] - other[name]) > points for name in one)


def _numbers(value: Any, name: str = "") -> Sequence[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in _numbers(part, f"{name}/{key}")]
    return [(name, float(value))] if isinstance(value, int | float) else []


def said(line: str, project: Path, keep: Path) -> list[str]:
    """Print how a trial ended; return the line and keep the project if it did not end well."""
    print(line, flush=True)
    if line.endswith(": equal"):
        return []
    shutil.copytree(project, keep, dirs_exist_ok=True)
    return [line]
