"""Log lines for people and for machines."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from vixml.serving.web.logs import REQUESTS, JsonLines, LogFormat, server_logs


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
def test_requests_are_logged_in_json_alone(kind, tells, capsys):
    with server_logs(kind):
        logging.getLogger(REQUESTS).info("request", extra={"facts": {"status": 200}})
        logging.getLogger("vixml.serving.web.models").info("swapped")
        logging.getLogger("elsewhere").info("nothing of ours")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "nothing of ours" in line] == []
    assert any("request" in line for line in lines) is tells
    assert any("swapped" in line for line in lines)
    if tells:
        assert [json.loads(line)["message"] for line in lines] == ["request", "swapped"]


def test_afterwards_logs_go_where_they_went_before():
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before = (root.level, list(root.handlers), uvicorn.level, list(uvicorn.handlers), uvicorn.propagate)
    with server_logs(LogFormat.JSON):
        assert isinstance(root.handlers[0].formatter, JsonLines)
    assert (root.level, list(root.handlers), uvicorn.level, list(uvicorn.handlers), uvicorn.propagate) == before
