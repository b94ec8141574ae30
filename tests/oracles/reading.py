"""Reading raw JSON lines: a dictionary a line, nothing checked."""

from __future__ import annotations

import json
from pathlib import Path


def read_lines(file: Path) -> list[dict[str, object]]:
    """Return what each line holds."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
