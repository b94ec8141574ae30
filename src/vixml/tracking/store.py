"""The MLflow store: what is written to it, and how. Calls may be slow or fail: use a `BackgroundSender`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from vixml.core.errors import ConfigError
from vixml.core.redact import redact, redact_document
from vixml.tracking.facts import safe_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "vixml.run"
"""Tag with the run's own key: the record on disk and the run in the store find each other by it."""

PROCESS = "vixml.process"
"""Tag with the process of a run (JSON) and the folder of its claims: a killed one cannot say that its run has ended."""

REPLACED = "vixml.replaced_by"
"""Tag of a logged model whose folder holds a later one by now, with the id of that."""

_ENTRIES = 100  # MLflow's limit on parameters and tags of one request
_METRICS = 900  # ... and, with some room, on metrics
_TAG = 5_000  # characters of a tag, the description included
_NAME = 500  # ... and of a data set's name


class Store:
    """An experiment in an MLflow store; nothing is opened before it is needed.

    Args:
        uri: Tracking URI.
        experiment: Name of the experiment; made where there is none, restored where it was deleted.
        artifact_location: Where a new experiment keeps its artefacts.
        timeout: Seconds that an HTTP request may take; one retry.
    """

    def __init__(
        self, uri: str, experiment: str, artifact_location: str | None = None, *, timeout: float = 10.0
    ) -> None:
        # MLflow's default is seven retries of two minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(timeout))))
        self.uri, self._experiment, self._artifacts = uri, experiment, artifact_location

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of this store."""
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    @cached_property
    def experiment_id(self) -> str:
        """Id of the experiment."""
        found = self.client.get_experiment_by_name(self._experiment)
        if found is None:
            return str(self.client.create_experiment(self._experiment, artifact_location=self._artifacts))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def find(self, key: str) -> str | None:
        """Return the id of the run of this key, if the store has it."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0].info.run_id if found else None

    def open_runs(self) -> dict[str, dict[str, str]]:
        """Return the tags of every run that has not ended, by the run's id."""
        found: dict[str, dict[str, str]] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], "attributes.status = 'RUNNING'", max_results=1000, page_token=token
            )
            found |= {run.info.run_id: dict(run.data.tags) for run in page}
            token = page.token
            if not token:
                return found

    def create(self, record: Mapping[str, Any], parent: str | None = None) -> str:
        """Open a run and return its id.

        Args:
            record: `key`, `name`, `started` (milliseconds since 1970) and `tags`.
            parent: Id of the run above.
        """
        tags = {KEY: record["key"], **({"mlflow.parentRunId": parent} if parent else {}), **_texts(record["tags"])}
        run = self.client.create_run(
            self.experiment_id, start_time=record["started"], run_name=record["name"], tags=tags
        )
        return str(run.info.run_id)

    def add_params(self, run: str, params: Mapping[str, str]) -> None:
        """Log parameters."""
        from mlflow.entities import Param

        for part in _parts((Param(key, value) for key, value in params.items()), _ENTRIES):
            self.client.log_batch(run, params=part)

    def add_data(self, run: str, tags: Mapping[str, Any]) -> None:
        """Log the data set that tags name (`dataset`, `data.fingerprint`) as the run's input: lists of runs show it."""
        from mlflow.entities import Dataset, DatasetInput

        name, fingerprint = redact(str(tags.get("dataset") or ""))[:_NAME], tags.get("data.fingerprint")
        if name and fingerprint:
            data = Dataset(name, str(fingerprint), source_type="vixml", source=json.dumps({"dataset": name}))
            self.client.log_inputs(run, [DatasetInput(data)])

    def add_metrics(
        self, run: str, points: Iterable[tuple[str, float, int]], *, model: str | None = None, at: int | None = None
    ) -> None:
        """Log (name, value, step) of each point.

        Args:
            run: Id of the run.
            points: What to log.
            model: Id of a logged model that gets the same metrics.
            at: Milliseconds since 1970; the current time by default. Of two values at one step the later one counts.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000) if at is None else at
        metrics = (Metric(safe_name(key), value, now, step, model_id=model) for key, value, step in points)
        for part in _parts(metrics, _METRICS):
            self.client.log_batch(run, metrics=part)

    def add_model(self, run: str, facts: Mapping[str, str]) -> str:
        """Register the trained model as an external one (its weights stay where they are); return its id.

        Args:
            run: Id of the run that made it.
            facts: `name` of the model, and what finds and describes it: path, fingerprint, sizes.
        """
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        known = self.client.search_logged_models([self.experiment_id], f"source_run_id = '{run}'", max_results=1)
        if known and known[0].status == LoggedModelStatus.READY:
            return str(known[0].model_id)
        params = {key: redact(str(value)) for key, value in facts.items() if key != "name"}
        model = next(iter(known), None) or self.client.create_logged_model(
            self.experiment_id,
            name=facts["name"],
            source_run_id=run,
            tags={"mlflow.model.isExternal": "true"},
            params=params,
            model_type="vixml",
        )
        outputs = self.client.get_run(run).outputs
        if outputs is None or not outputs.model_outputs:  # else an earlier attempt was killed behind it
            self.client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
        self._mark_replaced(model.model_id, facts["name"], params.get("path"))
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)  # last: it says that all is there
        return str(model.model_id)

    def _mark_replaced(self, newest: str, name: str, path: str | None) -> None:
        """Tag earlier models of this name and folder: the folder now holds the newest one."""
        for model in self.client.search_logged_models([self.experiment_id], f"name = '{name}'", max_results=100):
            same = (model.params or {}).get("path") == path
            if same and model.model_id != newest and REPLACED not in (model.tags or {}):
                self.client.set_logged_model_tags(model.model_id, {REPLACED: newest})

    def describe(self, run: str, text: str) -> None:
        """Set the run's description (Markdown)."""
        self.client.set_tag(run, "mlflow.note.content", redact(text)[:_TAG])

    def document(self, run: str, value: Any, file: str) -> None:
        """Log a JSON document as an artefact."""
        self.client.log_dict(run, redact_document(value), file)


_current: list[Store] = []


def use(store: Store) -> None:
    """Make `store` the one of this process (the hook does, from conf/*/mlflow.yml)."""
    _current[:] = [store]


def current() -> Store:
    """Return the store of this process.

    Raises:
        ConfigError: No session has configured one.
    """
    if not _current:
        raise ConfigError("no MLflow store is configured", remedy="see conf/base/mlflow.yml.")
    return _current[0]


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {safe_name(key): redact(str(value))[:_TAG] for key, value in tags.items() if value is not None}


def _parts(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    entries = iter(entries)
    while part := list(islice(entries, size)):
        yield part
