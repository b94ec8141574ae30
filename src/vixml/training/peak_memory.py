"""How much memory a training took at its peak."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_LINUX_CLEAR, _LINUX_STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring the peak anew, so that a variant does not inherit the peak of an earlier one."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _LINUX_CLEAR.exists():
        with suppress(OSError):
            _LINUX_CLEAR.write_text("5")


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes since the last reset: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _LINUX_STATUS.exists():
        line = next(line for line in _LINUX_STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
