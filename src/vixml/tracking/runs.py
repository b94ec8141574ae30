"""MLflow runs of one session: one a variant, under a parent where there are several."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vixml.core.redact import redact_document
from vixml.tracking.background_sender import BackgroundSender
from vixml.tracking.curve_uploader import CurveUploader
from vixml.tracking.facts import final_metrics, headline, origin
from vixml.tracking.store import Store


@dataclass
class Run:
    """A run of this session.

    Args:
        record: What opens it: `key`, `name`, `started`, `tags`, `params`, `parent` (key or None).
        above: The run that it is nested under.
        id: Its id in the store, once it is open there.
        complete: Whether everything so far has arrived.
    """

    record: dict[str, Any]
    above: Run | None = None
    id: str | None = None
    complete: bool = True
    monitor: Any = None

    def incomplete(self) -> None:
        """Note that something did not arrive."""
        self.complete = False


class VariantRuns:
    """Opens, feeds and ends runs in the background, through the client and never through MLflow's global active run.

    Args:
        store: Where to.
        sender: The thread that does it.
        system_metrics: Whether MLflow samples processor, memory, disk, network and GPU while a run is open.
    """

    def __init__(self, store: Store, sender: BackgroundSender, *, system_metrics: bool = False) -> None:
        self._store, self._sender, self._system_metrics = store, sender, system_metrics
        self._runs: dict[str, Run] = {}
        self._uploaders: dict[str, CurveUploader] = {}
        self.parent: str | None = None

    def open(
        self,
        name: str,
        tags: Mapping[str, Any],
        params: Mapping[str, str] | None = None,
        *,
        title: str | None = None,
        parent: bool = False,
    ) -> Run:
        """Open the run `name`, called `title` in the store; with `parent`, the ones that follow are nested under it."""
        above = self._runs.get(self.parent or "")
        record = {
            "key": uuid.uuid4().hex,
            "name": title or name,
            "started": int(time.time() * 1000),
            "tags": redact_document(dict(tags)),
            "params": dict(params or {}),
            "parent": above.record["key"] if above else None,
        }
        run = self._runs[name] = Run(record, above)
        if parent:
            self.parent = name
        self._send(run, lambda _: None)
        return run

    def __contains__(self, name: str) -> bool:
        return name in self._runs

    def metrics(self, name: str, points: Iterable[tuple[str, float, int]]) -> None:
        """Log (name, value, step) of each point."""
        points = list(points)
        self._to(name, lambda run: self._store.add_metrics(run, points))

    def result(self, name: str, document: Mapping[str, Any], model: Mapping[str, str] | None) -> None:
        """Log a variant's results: final metrics, also as those of its model, and the headline as description."""
        tags = self._runs[name].record["tags"] if name in self._runs else {}
        self._to(name, lambda run: log_result(self._store, run, name, document, model, tags))

    def document(self, name: str, value: Any, file: str) -> None:
        """Log a JSON document as an artefact."""
        self._to(name, lambda run: self._store.document(run, value, file))

    def figure(self, name: str, value: Any, file: str) -> None:
        """Log a plotly figure as an HTML artefact."""
        self._to(name, lambda run: self._store.client.log_figure(run, value, file))

    def text(self, name: str, value: str, file: str) -> None:
        """Log a text, for instance a page of HTML, as an artefact."""
        self._to(name, lambda run: self._store.client.log_text(run, value, file))

    def describe(self, name: str, text: str) -> None:
        """Set a run's description."""
        self._to(name, lambda run: self._store.describe(run, text))

    def follow(self, name: str, file: Path) -> None:
        """Log what a learning curve's file gets from now on."""
        run = self._runs[name]
        uploader = self._uploaders.get(name)
        if uploader is None:
            uploader = CurveUploader(file, lambda points: self._store.add_metrics(self._ensure(run), points))
            self._uploaders[name] = uploader
        uploader.skip_what_is_there()
        self._sender.watch(uploader.poll)

    def unfollow(self, name: str) -> None:
        """Log what is left of the curve."""
        if name in self._uploaders:
            self._sender.unwatch(self._uploaders[name].poll)
            self._sender.send(self._uploaders[name].flush, self._runs[name].incomplete)

    def end(self, name: str, status: str = "FINISHED") -> None:
        """End one run."""
        self.unfollow(name)
        run = self._runs.pop(name)

        def end(run_id: str) -> None:
            if run.monitor is not None:
                run.monitor.finish()
            self._store.client.set_terminated(run_id, status=status)

        self._send(run, end)

    def end_all(self, status: str, *, wait: float) -> bool:
        """End every open run, the parent last, and wait at most `wait` seconds; return whether nothing is left."""
        for name in sorted(self._runs, key=lambda name: name == self.parent):
            self.end(name, status)
        self.parent = None
        return self._sender.close(wait)

    def _to(self, name: str, action: Callable[[str], None]) -> None:
        if name in self._runs:
            self._send(self._runs[name], action)

    def _send(self, run: Run, action: Callable[[str], None]) -> None:
        self._sender.send(lambda: action(self._ensure(run)), run.incomplete)

    def _ensure(self, run: Run) -> str:
        """Open the run in the store unless it is open: a server that comes back later gets it then."""
        if run.id is None:
            above = None if run.above is None else self._ensure(run.above)
            run.id = self._store.create(run.record, above)
            self._store.add_params(run.id, run.record["params"])
            if run.record["params"]:  # a variant's; MLflow's comparison opens on the metric that was logged first
                self._store.add_metrics(run.id, [("P@1", math.nan, 0)], at=run.record["started"])
            self._store.add_data(run.id, run.record["tags"])
            if run.above is not None and run.above.id is not None:  # what is folded shows its data set too
                self._store.add_data(run.above.id, run.record["tags"])
            if self._system_metrics:
                run.monitor = _monitor(run.id, self._store.uri)
        return run.id


def log_result(
    store: Store,
    run: str,
    name: str,
    document: Mapping[str, Any],
    model: Mapping[str, str] | None,
    tags: Mapping[str, Any],
) -> None:
    """Log a variant's results to the run of this id; the description comes last and says that all is there."""
    points = [(key, value, 0) for key, value in final_metrics(document)]
    store.add_metrics(run, points, model=store.add_model(run, model) if model else None)
    store.describe(run, f"{origin(tags)}{headline({name: document})}")


def _monitor(run: str, uri: str) -> Any:
    try:
        import psutil  # type: ignore[import-untyped]  # noqa: F401 - MLflow's monitor needs it
    except ImportError:
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, tracking_uri=uri)
    monitor.start()
    return monitor
