"""The terminal's lines: whole, plain in a file, in colour on a terminal, and passing messages that leave no trace."""

from __future__ import annotations

import logging
import sys

import pytest

from vixml.terminal.handler import PASSING, TerminalHandler, install

LONG = "a path " + "/folder" * 40 + " with [brackets]"


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.Logger("of the test")
    logger.addHandler(TerminalHandler())
    return logger


def test_a_message_is_one_line_as_it_is(logger, capsys):
    logger.info(LONG)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("  " + LONG)
    assert "\033" not in line


def test_a_warning_says_so(logger, capsys):
    logger.warning("look")
    assert capsys.readouterr().out.endswith("  WARNING: look\n")


def test_a_passing_message_is_not_written_to_a_file(logger, capsys):
    logger.info("Running x", extra=PASSING)
    logger.info("x: done")
    assert "Running" not in capsys.readouterr().out


def test_a_terminal_gets_colour_and_the_passing_message_is_replaced(logger, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    logger.info("Running x", extra=PASSING)
    logger.error("x failed")
    shown = capsys.readouterr().out
    passing, _, after = shown.partition("\r\033[K")
    assert "Running x" in passing
    assert "\n" not in passing
    assert "\033[31mERROR: x failed\033[0m\n" in after


def test_no_color_is_heeded(logger, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    logger.error("x failed")
    assert "\033" not in capsys.readouterr().out


def test_it_replaces_the_terminals_handler_alone(monkeypatch):
    root = logging.Logger("root of the test")
    monkeypatch.setattr(logging, "getLogger", lambda name=None: root if name is None else logging.Logger(name))
    for name in ("terminal", "file", "mine"):
        handler = logging.NullHandler()
        handler.name = name
        root.addHandler(handler)
    install()
    install()
    assert [handler.name for handler in root.handlers if not isinstance(handler, TerminalHandler)] == ["file", "mine"]
    assert sum(isinstance(handler, TerminalHandler) for handler in root.handlers) == 1


def test_kedros_copy_of_an_error_is_left_out_of_the_terminal_alone(capsys):
    """The run ends with the same words; other handlers, a log file's for one, get it."""
    logger, found, other = logging.Logger("kedro.pipeline.node"), [], logging.Handler()
    other.emit = found.append
    for handler in (TerminalHandler(), other):
        logger.addHandler(handler)
    logger.error("Node %s failed with error: \n%s", "embed", "no such file")
    logger.error("something else")
    printed = capsys.readouterr().out
    assert "something else" in printed
    assert "no such file" not in printed
    assert len(found) == 2
