"""What a rank says: once, by the process that launched it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.distributed.ends import start

from vixml.core import progress


def test_log_and_progress_of_the_leader_are_said_by_the_launcher(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[progress.Position] = []
    monkeypatch.setattr(progress, "listeners", [seen.append])
    with caplog.at_level(logging.INFO, logger="vixml.test"):
        start(tmp_path, "talk")
    assert [record.getMessage() for record in caplog.records if record.name == "vixml.test"] == ["rank 0 of 2"]
    assert {(position.desc, position.total, position.unit) for position in seen} == {("counting", 3, "sheep")}
    assert seen[-1].done == 3
