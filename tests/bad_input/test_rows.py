"""The page and the tests name the same rows."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from tests.bad_input.rows import DOCS, TESTED, documented


def test_every_row_has_its_test_and_every_test_its_row():
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.bad_input.{file.stem}")

    assert {name: row.happens for name, row in DOCS.items()} == {name: happens for name, (happens, _) in TESTED.items()}
    assert len(documented()) == len(DOCS) >= 40, "an id stands twice"
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in DOCS)
