"""The logging handler of the terminal: one line for each message, whatever its length, in colour only on a terminal."""

from __future__ import annotations

import logging
import os
import sys
import time

PASSING = {"passing": True}
"""`extra` of a message that the next one replaces: a terminal shows it, a file or a pipe never does."""

_DIM, _YELLOW, _RED, _RESET = "\033[2m", "\033[33m", "\033[31m", "\033[0m"
_ERASE = "\r\033[K"


_REPLACED = ("terminal", "rich")
"""Names of the handlers of conf/logging.yml, and of Kedro's own configuration where there is no such file."""


def install() -> None:
    """Let the root logger write to the terminal through `TerminalHandler`, once."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if handler.name in _REPLACED]:
        root.removeHandler(handler)
        if not any(isinstance(known, TerminalHandler) for known in root.handlers):
            root.addHandler(TerminalHandler(handler.level))
        if handler.name == "rich":
            logging.getLogger("kedro").setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _is_said_again(record: logging.LogRecord) -> bool:
    """Return whether this is what Kedro says of a node that failed: the run's last line is the same error."""
    return record.name == "kedro.pipeline.node" and str(record.msg).startswith("Node %s failed with error")


class TerminalHandler(logging.Handler):
    """Writes to standard output, above the progress bars that are shown.

    Unlike Kedro's handler it neither wraps lines nor reads brackets in a message as markup: a path can be copied, and a
    saved output searched.
    """

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._passing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        try:
            passing, terminal = getattr(record, "passing", False), sys.stdout.isatty()
            if (passing and not terminal) or _is_said_again(record):
                return
            line = self._line(record, colour=terminal and "NO_COLOR" not in os.environ)
            with self._above_bars():
                sys.stdout.write((_ERASE if self._passing else "") + line + ("" if passing else "\n"))
                sys.stdout.flush()
            self._passing = passing
        except Exception:
            self.handleError(record)

    def _line(self, record: logging.LogRecord, *, colour: bool) -> str:
        clock, text = time.strftime("%H:%M:%S", time.localtime(record.created)), self.format(record)
        if record.levelno > logging.INFO:
            text = f"{record.levelname}: {text}"
        if not colour:
            return f"{clock}  {text}"
        shade = _RED if record.levelno >= logging.ERROR else _YELLOW if record.levelno >= logging.WARNING else ""
        shade = _DIM if getattr(record, "passing", False) else shade
        return f"{_DIM}{clock}{_RESET}  {shade}{text}{_RESET if shade else ''}"

    @staticmethod
    def _above_bars():  # type: ignore[no-untyped-def]  # noqa: ANN205 - a context manager of tqdm's
        from tqdm import tqdm

        return tqdm.external_write_mode(file=sys.stdout)
