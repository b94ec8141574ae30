"""Progress bars that keep quiet where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def progress(iterable: Iterable[Any] | None = None, *, desc: str, total: int | None = None, unit: str = "it") -> Any:
    """Return a tqdm bar on stderr, disabled when stderr is not a terminal (CI, files, notebooks' logs)."""
    from tqdm import tqdm

    return tqdm(iterable, desc=desc, total=total, unit=unit, dynamic_ncols=True, disable=not sys.stderr.isatty())
