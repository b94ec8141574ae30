"""Whether there is a GPU, without importing torch: commands that only read the configuration must stay fast."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def has_gpu() -> bool:
    """Return whether torch would find a GPU: its build has GPU code, and a device is there and visible."""
    try:
        if version("torch").endswith("+cpu"):
            return False
    except PackageNotFoundError:
        return False
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))
