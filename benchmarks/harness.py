"""What every benchmark shares: timing beside the oracle, peak memory, the machine's own rates, one row of the table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vixml.training.peak_memory import peak_memory, reset_peak_memory

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VIXML_SHARED", REPOSITORY.parent / "shared"))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        path: Which hot path.
        size: At which size.
        seconds: Best time of ours.
        oracle: What the oracle is.
        oracle_seconds: Its best time in the same run.
        peak_bytes: Peak resident memory of the process while ours ran, its inputs included.
        floor: What the floor counts.
        floor_seconds: Time of that at the rate measured in the same process.
        target: What was asked for.
        met: Whether it was reached here.
    """

    path: str
    size: str
    seconds: float
    oracle: str
    oracle_seconds: float
    peak_bytes: int
    floor: str
    floor_seconds: float
    target: str
    met: bool


def race(ours: Callable[[], Any], oracle: Callable[[], Any], *, repeats: int = 3) -> tuple[float, float, int, Any, Any]:
    """Time both in turns, so that a busy moment hits both.

    Returns:
        Best seconds of ours and of the oracle, peak bytes of ours, and both results of the last round.
    """
    import torch

    cpu = torch.device("cpu")
    best, best_oracle, peak = float("inf"), float("inf"), 0
    result = expected = None
    for _ in range(repeats):
        result = expected = None
        reset_peak_memory(cpu)
        best, result = _timed(ours, best)
        peak = max(peak, peak_memory(cpu))
        best_oracle, expected = _timed(oracle, best_oracle)
    return best, best_oracle, peak, result, expected


def product_rate(rows: int = 2048, width: int = 384, columns: int = 2048) -> float:
    """Return the floating-point operations per second of a float32 matrix product."""
    import torch

    a, b, out = torch.randn(rows, width), torch.randn(columns, width), torch.empty(rows, columns)
    return (
        2 * rows * width * columns / min(_timed(lambda: torch.mm(a, b.T, out=out), float("inf"))[0] for _ in range(9))
    )


def read_rate(num_bytes: int = 1 << 28) -> float:
    """Return the bytes per second that a sum reads from memory."""
    import torch

    values = torch.ones(num_bytes // 4)
    return num_bytes / min(_timed(values.sum, float("inf"))[0] for _ in range(5))


def _timed(function: Callable[[], Any], best: float) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return min(best, time.perf_counter() - start), result


def table(rows: list[Row]) -> str:
    """Return all rows as a Markdown table."""
    head = "| path | size | seconds | oracle | its seconds | ratio | peak GiB | floor | share | target | met |"
    lines = [head, "|" + "---|" * head.count(" | ") + "---|"]
    lines += [
        f"| {r.path} | {r.size} | {r.seconds:.3f} | {r.oracle} | {r.oracle_seconds:.3f} "
        f"| {r.oracle_seconds / r.seconds:.2f} | {r.peak_bytes / 2**30:.2f} | {r.floor} {r.floor_seconds:.3f} s "
        f"| {100 * r.floor_seconds / r.seconds:.0f} % | {r.target} | {'yes' if r.met else 'NO'} |"
        for r in rows
    ]
    return "\n".join(lines)
