"""Log lines for people and for machines."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from vixml.serving.web.logs import REQUESTS, JsonLines, LogFormat, configure_logs


@pytest.fixture
def restored():
    """Leave the loggers of other tests as they were."""
    names = ("", "vixml.serving.web", REQUESTS, "uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(one.level, list(one.handlers), one.propagate) for one in loggers]
    yield
    logging.captureWarnings(capture=False)
    for one, (level, handlers, propagate) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers, one.propagate = handlers, propagate


def record(message, **more):
    return logging.makeLogRecord({"name": "vixml.x", "levelname": "WARNING", "msg": message, **more})


def test_a_line_is_one_json_object():
    line = JsonLines().format(record('two\nlines "quoted"', facts={"model": "m", "seconds": 1.5}))
    assert "\n" not in line
    found = json.loads(line)
    assert found["message"] == 'two\nlines "quoted"'
    assert (found["level"], found["logger"], found["model"], found["seconds"]) == ("warning", "vixml.x", "m", 1.5)
    assert found["time"].endswith("+00:00")


def test_an_exception_is_in_its_line():
    try:
        raise ValueError("odd")
    except ValueError:
        line = JsonLines().format(record("failed", exc_info=sys.exc_info()))
    assert "ValueError: odd" in json.loads(line)["exception"]
    assert "\n" not in line


@pytest.mark.parametrize(("kind", "tells"), [(LogFormat.JSON, True), (LogFormat.TEXT, False)])
def test_requests_are_told_in_json_alone(kind, tells, capsys, restored):
    configure_logs(kind)
    logging.getLogger(REQUESTS).info("request", extra={"facts": {"status": 200}})
    logging.getLogger("vixml.serving.web.models").info("swapped")
    logging.getLogger("elsewhere").info("nothing of ours")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "nothing of ours" in line] == []
    assert any("request" in line for line in lines) is tells
    assert any("swapped" in line for line in lines)
    if tells:
        assert [json.loads(line)["message"] for line in lines] == ["request", "swapped"]
