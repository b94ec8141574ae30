"""Programs of these tests, which ranks find in whatever folder the tests run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _programs_are_found() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
