"""Progress without a terminal: counts, rate, time left, listeners, a line of the log."""

from __future__ import annotations

import logging

import pytest

from vixml.core import progress as module
from vixml.core.progress import Position, duration, line, progress, subject, with_subject


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Position]:
    positions: list[Position] = []
    monkeypatch.setattr(module, "listeners", [positions.append])
    monkeypatch.setattr(module, "NOTIFY_SECONDS", 0.0)
    return positions


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until the test moves it."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_iterating_yields_every_item_and_ends_at_the_total(seen: list[Position]) -> None:
    assert list(progress([3, 4, 5], desc="x")) == [3, 4, 5]
    assert [position.done for position in seen] == [0, 1, 2, 3, 3]
    assert {position.total for position in seen} == {3}


def test_rate_and_time_left_leave_out_what_an_earlier_process_did(seen: list[Position], clock: list[float]) -> None:
    with progress(desc="train", total=100, unit="step") as bar:
        bar.skip(50)
        clock[0] += 10
        bar.update(20)
        bar.set_postfix(epoch="2/3")
    assert seen[-1] == Position("train", 70, 100, "step", 2.0, {"epoch": "2/3"})
    assert seen[-1].seconds_left == 15.0
    assert line(seen[-1]) == "train: 70/100 step (70 %), 2 step/s, 15 s left, epoch=2/3"


def test_a_part_moves_with_the_whole_and_ends_before_it(
    seen: list[Position], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    with progress(desc="train", total=6, unit="step") as bar:
        for epoch in (1, 2):
            with bar.part(f"epoch {epoch}/2", total=3):
                for _ in range(3):
                    bar.update(1)
        bar.update(0)
    assert (seen[-1].done, seen[-1].total) == (6, 6)
    shown = capsys.readouterr().err
    assert "epoch 1/2" in shown
    assert "epoch 2/2" in shown


def test_an_unknown_total_has_no_time_left() -> None:
    assert line(Position("read", 5, None, "row", 2.5)) == "read: 5 row, 2.5 row/s"


def test_a_broken_listener_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(position: Position) -> None:
        raise RuntimeError

    monkeypatch.setattr(module, "listeners", [broken])
    assert list(progress([1], desc="x")) == [1]


def test_without_a_terminal_a_line_now_and_then(caplog: pytest.LogCaptureFixture, clock: list[float]) -> None:
    with caplog.at_level(logging.INFO, logger="vixml"), progress(desc="x", total=9) as bar:
        bar.update(1)
        clock[0] += module.LOG_SECONDS
        bar.update(2)
        bar.update(1)
    assert [record.message for record in caplog.records] == ["x: 3/9 it (33 %), 0.05 it/s, 2 min 00 s left"]


def test_lines_and_bars_name_the_variant_that_the_work_is_for(
    seen: list[Position], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    token = subject.set("encoder_text")
    try:
        with progress(desc="train_hard", total=120) as bar:
            bar.update(40)
        assert with_subject("train_hard") == "encoder_text train_hard"
    finally:
        subject.reset(token)
    assert "encoder_text train_hard:" in capsys.readouterr().err
    assert line(seen[-1]).startswith("encoder_text train_hard: 40/120 it (33 %)")
    assert seen[-1].desc == "train_hard"
    assert with_subject("train_hard") == "train_hard"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (133, "2 min 13 s"), (11100, "3 h 05 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
