"""MLflow runs of one session: one a variant, under a parent where there are several."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from vixml.tracking.facts import safe_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)
_ENTRIES = 100  # MLflow's limit on parameters and tags of one request
_METRICS = 900  # ... and, with some room, on metrics


class VariantRuns:
    """Opens, feeds and ends the runs of a session, through the client and never through MLflow's global active run.

    Any failure of the tracker is logged once and otherwise ignored.

    Args:
        client: MLflow's client.
        experiment: Experiment id.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        # a dead server must fail fast: MLflow's default is seven retries of two minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self._client, self._experiment = client, experiment
        self._runs: dict[str, str] = {}
        self._refused: set[str] = set()
        self._parent: str | None = None
        self._warned = False

    @property
    def parent(self) -> str | None:
        """Name of the parent run, if one was opened."""
        return self._parent

    def open_parent(self, name: str, tags: Mapping[str, str]) -> None:
        """Open the run that the variants' runs will be nested under."""
        self._parent = name
        self.open(name, tags)

    def open(self, name: str, tags: Mapping[str, str]) -> bool:
        """Open the run `name` unless it is open; return whether it was opened now."""
        if name in self._runs or name in self._refused:
            return False
        above = self._runs.get(self._parent or "")
        nested = {"mlflow.parentRunId": above} if above and name != self._parent else {}
        try:
            run = self._client.create_run(self._experiment, run_name=name, tags={**nested, **_texts(tags)})
        except Exception as err:
            self._refused.add(name)
            self._warn(err)
            return False
        self._runs[name] = run.info.run_id
        return True

    def params(self, name: str, params: Iterable[tuple[str, str]]) -> bool:
        """Log (name, text) of each parameter; return whether they arrived."""
        from mlflow.entities import Param

        def log(run: str) -> None:
            for part in _parts((Param(key, value) for key, value in params), _ENTRIES):
                self._client.log_batch(run, params=part)

        return self._attempt(name, log)

    def metrics(self, name: str, points: Iterable[tuple[str, float, int]]) -> bool:
        """Log (name, value, step) of each point; return whether they arrived."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)

        def log(run: str) -> None:
            for part in _parts((Metric(safe_name(key), value, now, step) for key, value, step in points), _METRICS):
                self._client.log_batch(run, metrics=part)

        return self._attempt(name, log)

    def document(self, name: str, value: Any, file: str) -> bool:
        """Log a JSON document as an artefact; return whether it arrived."""
        return self._attempt(name, lambda run: self._client.log_dict(run, value, file))

    def figure(self, name: str, value: Any, file: str) -> bool:
        """Log a plotly figure as an HTML artefact; return whether it arrived."""
        return self._attempt(name, lambda run: self._client.log_figure(run, value, file))

    def end(self, name: str, status: str = "FINISHED") -> None:
        """End one run."""
        self._attempt(name, lambda run: self._client.set_terminated(run, status=status))
        self._runs.pop(name, None)

    def end_all(self, status: str) -> None:
        """End every open run, the parent last."""
        for name in sorted(self._runs, key=lambda name: name == self._parent):
            self.end(name, status)
        self._parent = None

    def _attempt(self, name: str, action: Callable[[str], None]) -> bool:
        """Do something with an open run and survive the tracker's failures: files hold all that it would."""
        run = self._runs.get(name)
        if run is None:
            return False
        try:
            action(run)
        except Exception as err:
            self._warn(err)
            return False
        return True

    def _warn(self, err: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("MLflow does not take this run's records; the run goes on without it (%s).", err)


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {safe_name(key): str(value)[:5000] for key, value in tags.items() if value is not None}


def _parts(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    entries = iter(entries)
    while part := list(islice(entries, size)):
        yield part
