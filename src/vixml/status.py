"""What runs, since when, where it stands: a file that anything can read, and a log file."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from vixml.core import progress
from vixml.core.directories import write_json

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_log = logging.getLogger(__name__)

STATUS = Path("data/08_reporting/status.json")
"""The status file, relative to the project."""

LOGS = Path("logs/vixml.log")
"""The log file, relative to the project: 5 files of at most 5 MB."""


class StatusHooks:
    """Keeps `data/08_reporting/status.json` up to date and writes `logs/vixml.log`."""

    def __init__(self) -> None:
        self._project = Path()
        self._status: dict[str, Any] = {}
        self._started: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Open the log file."""
        self._project = Path(context.project_path)
        _open_log(self._project / LOGS)

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Begin."""
        self._started = {}
        self._status = {
            "state": "running",
            "pipelines": list(run_params.get("pipeline_names") or ["__default__"]),
            "params": sorted(run_params.get("runtime_params") or {}),
            "process": os.getpid(),
            "started": _now(),
            "nodes": len(pipeline.nodes),
            "done": [],
            "node": None,
            "progress": None,
        }
        progress.listeners[:] = [self._follow]
        self._write()

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which node runs."""
        self._started[node.name] = time.monotonic()
        self._status.update(node={"name": node.name, "started": _now()}, progress=None)
        self._write()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Say that it is done, and what it took."""
        seconds = time.monotonic() - self._started.pop(node.name, time.monotonic())
        self._status.get("done", []).append({"name": node.name, "seconds": round(seconds, 3)})
        self._status.update(node=None, progress=None)
        self._write()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Say that all is done."""
        self._end("done")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Say what ended the run."""
        self._end("failed", error=str(error))

    def _end(self, state: str, **facts: str) -> None:
        progress.listeners.clear()
        self._status.update(state=state, ended=_now(), **facts)
        self._write()

    def _follow(self, position: progress.Position) -> None:
        left = position.seconds_left
        self._status["progress"] = {
            "what": position.desc,
            "done": position.done,
            "total": position.total,
            "unit": position.unit,
            "units_per_second": round(position.rate, 3),
            "seconds_left": None if left is None else round(left, 1),
            **position.facts,
        }
        self._write()

    def _write(self) -> None:
        self._status["updated"] = _now()
        try:
            write_json(self._project / STATUS, self._status)
        except OSError as err:  # a status that cannot be written stops nothing
            _log.debug("The status file was not written: %s", err)


class _LogFile(RotatingFileHandler):
    """A log file that gives up at the first error; logging's own would print a traceback for every message."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Stop writing to the file, and say so once."""
        error = sys.exception()
        logging.getLogger().removeHandler(self)
        with suppress(OSError):
            self.close()
        _log.warning("The log file ends here: %s", error)


def _open_log(file: Path) -> None:
    """Let the project's log file take what the terminal gets, once a process and project."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, RotatingFileHandler)]:
        if Path(handler.baseFilename) == file.resolve():
            return
        root.removeHandler(handler)
        handler.close()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(file.resolve(), maxBytes=5_000_000, backupCount=4, encoding="utf-8")
    except OSError as err:
        _log.warning("There is no log file: %s", err)
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s"))
    root.addHandler(handler)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
