"""The world that rankings are evaluated in."""

from __future__ import annotations

import pytest
from tests.evaluation.worlds import make_world


@pytest.fixture(scope="session")
def world():
    """Labels, training, validation and test queries; no test changes it."""
    return make_world()
