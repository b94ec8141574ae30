"""Reading raw files with nothing checked: a dictionary a JSON line, and CSV as pandas reads it."""

from __future__ import annotations

import json
from pathlib import Path


def read_lines(file: Path) -> list[dict[str, object]]:
    """Return what each line holds."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_csv(file: Path) -> dict[str, list[str]]:
    """Return the cells of a CSV by column, after one look at its encoding."""
    import pandas as pd

    with file.open(encoding="utf-8", newline="") as text:
        while chunk := text.read(1 << 20):
            assert "\0" not in chunk
    frame = pd.read_csv(file, dtype=str, na_filter=False)
    return {str(name): frame[name].tolist() for name in frame.columns}
