"""The rows of docs/reference/bad_input.md: each is a test of its own, found by the row's id.

`@error(ID)`, `@repair(ID)` and `@works(ID)` make a test of what causes the row. The cause gets `at`: an empty folder
(`path`) and the fixtures of pytest by name (`fixture`). The cause of a repair returns the report that counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from kedro.io import DatasetError

from vixml.core.errors import VixmlError, user_error

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "bad_input.md"
Cause = Callable[[Any], Any]
Test = Callable[..., None]


class Row(NamedTuple):
    """A row of the page: what is put in, what becomes of it, and the message or the name of the count."""

    id: str
    given: str
    happens: str
    says: str


def documented() -> list[Row]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [Row(*found) for found in cells if found[0] != "id"]


DOCS = {row.id: row for row in documented()}
TESTED: dict[str, tuple[str, str]] = {}
"""Id of a row -> what happens according to its test, and the test's name."""


def error(name: str) -> Callable[[Cause], Test]:
    """The cause of row `name` ends in an error that the user sees as the page says, with what would be right."""

    def check(cause: Cause, at: Any) -> None:
        with pytest.raises((VixmlError, DatasetError)) as caught:
            cause(at)
        shown = user_error(caught.value)
        assert shown is not None, f"the user would see a traceback of {caught.value!r}"
        assert DOCS[name].says in " ".join(str(shown).split())
        assert isinstance(shown, VixmlError)
        assert shown.remedy or shown.expected, "the user is told what would be right"

    return _test(name, "error", check)


def repair(name: str) -> Callable[[Cause], Test]:
    """The cause is put right, and counted under the name that the page says."""

    def check(cause: Cause, at: Any) -> None:
        count = cause(at)
        for key in DOCS[name].says.split("."):
            count = count[key]
        assert count >= 1

    return _test(name, "repair", check)


def works(name: str) -> Callable[[Cause], Test]:
    """The cause is no mistake."""
    return _test(name, "works", lambda cause, at: cause(at))


def _test(name: str, happens: str, check: Callable[[Cause, Any], None]) -> Callable[[Cause], Test]:
    def of(cause: Cause) -> Test:
        tested = (happens, cause.__name__)
        assert TESTED.setdefault(name, tested) == tested, f"two tests for {name}"

        def test(tmp_path: Path, request: pytest.FixtureRequest) -> None:
            check(cause, SimpleNamespace(path=tmp_path, fixture=request.getfixturevalue))

        test.__name__ = test.__qualname__ = cause.__name__
        test.__module__ = cause.__module__
        return test

    return of
