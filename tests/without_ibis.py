"""Kedro looks for ibis once for every parameter of a run; where it is not installed that is a fifth of a short run."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

if importlib.util.find_spec("ibis") is None:
    modules: dict[str, Any] = sys.modules
    modules["ibis"] = None  # the import fails at once
