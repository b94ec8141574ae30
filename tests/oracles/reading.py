"""Reading raw files with nothing checked: a dictionary a JSON line, and CSV as pandas reads it."""

from __future__ import annotations

import json
from pathlib import Path


def read_lines(file: Path) -> list[dict[str, object]]:
    """Return what each line holds."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_csv(file: Path) -> dict[str, list[str]]:
    """Return the cells of a CSV by column."""
    import pandas as pd

    frame = pd.read_csv(file, dtype=str, na_filter=False)
    return {str(name): frame[name].tolist() for name in frame.columns}
