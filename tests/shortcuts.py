"""What only costs time in tests, switched off: looks for what is not installed, and waits for the disk.

Kedro looks for ibis once for every parameter of a run; where it is not installed that is a fifth of a short run. Only
a loss of power tells whether a file was flushed, and no test takes the power away; a SIGKILL leaves what was written.
That flushes are made, and in which order, is checked where `os.fsync` fails or is watched. What is installed does not
change while tests run: the metadata of all packages, which Kedro reads for its plugins five times a run, are read once.
Garbage of cycles is collected less often: looking for it took a fifth of a short run's processor time.
The tiny vision model is the same for the same seed (tests/images/test_vision.py), and built once in each process.
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from typing import Any

from vixml.images import vision

if importlib.util.find_spec("ibis") is None:
    modules: dict[str, Any] = sys.modules
    modules["ibis"] = None  # the import fails at once

gc.set_threshold(100_000, 10, 10)
os.fsync = lambda fd: None
os.sync = lambda: None
# the loader of Kedro's settings wants the files on the stack and gets, of every frame, a line of source besides
inspect.stack.__defaults__ = (0,)
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)  # type: ignore[assignment]
vision._load_tiny = functools.cache(vision._load_tiny)  # type: ignore[assignment]
