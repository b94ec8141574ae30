"""Kedro hooks that track each variant as an MLflow run.

conf/*/mlflow.yml is kedro-mlflow's, and `kedro mlflow ui` reads it; kedro-mlflow's own hook is switched off: it would
put all variants into one run, and a dead server would end every command at its start. Here nothing waits for MLflow.
"""

from __future__ import annotations

import atexit
import logging
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.framework.hooks import hook_impl

from vixml.claims import claim as claims
from vixml.configuration.compose import ALL_VARIANTS, readable_name
from vixml.core.directories import SealedDirectory, write_json
from vixml.core.provenance import flatten, library_versions
from vixml.core.redact import guard_logging
from vixml.core.workspace import work_of
from vixml.data.dataset import PARTS, file_name
from vixml.evaluation import archive
from vixml.tracking.facts import LIBRARIES, data_fingerprint, git_state, headline, shown_settings
from vixml.tracking.record import RunRecords, fingerprint_of
from vixml.tracking.store import PROCESS, Store, use
from vixml.tracking.sync import CURVE_FILE, process_tag

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from vixml.tracking.runs import Run, VariantRuns
    from vixml.tracking.settings import TrackingParams

_log = logging.getLogger(__name__)

DATASET, WORK = "dataset", "work"
"""Data sets with the ingested data, and with the folder that nodes keep resumable state in."""

_PROJECT_PARAMETERS = ("seed", "data", "vision", "evaluation")
TRAINING = "training_work"
"""Folder of the nodes that write the learning curve."""

DATA_REPORT = "data_report"
"""Data set with what ingestion took of the raw files, the ledger among it."""

RESULTS = ("tokens", "warmup", "hard_negatives", "model", "embeddings", "metrics")
"""Data sets of a variant; a run that makes one of them trains or evaluates it, and is tracked."""

REPORT = "report_html"
"""Data set with the HTML report of a comparison; a run that makes it is tracked though it trains nothing."""

RECORDS = "run_records"
"""Data set of a variant where its runs are noted for `sync_tracking`."""


class TrackingHooks:
    """One MLflow run a variant; under a parent run where a session makes several."""

    def __init__(self) -> None:
        self._settings: tuple[TrackingParams, Store, list[str]] | None = None
        self._project = Path()
        self._runs: VariantRuns | None = None
        self._wait = 0.0
        self._left: Counter[str] = Counter()
        self._noted: dict[str, tuple[RunRecords, Run]] = {}
        self._facts: dict[str, str] = {}
        self._old_handler: Any = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read the configuration; nothing is opened, so a dead server is not noticed here. Keep secrets out of logs."""
        from vixml.tracking.settings import read_settings

        guard_logging()
        self._settings = read_settings(context)
        self._project = context.project_path
        if self._settings is not None:
            use(self._settings[1])

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Open the parent run where there are several variants."""
        self._runs, self._noted, self._facts = None, {}, {}
        names = run_params.get("pipeline_names") or ["__default__"]
        self._left = Counter(variant for node in pipeline.nodes if (variant := variant_of(node)))
        made = pipeline.all_outputs()
        for variant in [name for name in self._left if not any(f"{name}.{result}" in made for result in RESULTS)]:
            del self._left[variant]  # other labels, or a look at indexes: a run of it would look like a training
        compares = any(name.rpartition(".")[2] == REPORT for name in pipeline.all_outputs())
        if self._settings is None or not (self._left or compares):
            return
        params, store, untracked = self._settings
        if not params.enabled or set(names) & set(untracked):
            return
        from vixml.tracking.background_sender import BackgroundSender
        from vixml.tracking.runs import VariantRuns

        self._runs = VariantRuns(store, BackgroundSender(), system_metrics=params.system_metrics)
        self._wait = params.wait_seconds
        self._facts = {
            "dataset": catalog.load("params:dataset"),
            "kedro.pipeline": "+".join(names),
            **git_state(self._project),
            **flatten({"version": library_versions(LIBRARIES)}),
            PROCESS: process_tag(catalog.load(WORK).path / claims.FOLDER),
        }
        if len(self._left) > 1 or compares:
            self._runs.open("+".join(names).strip("_"), self._facts, parent=True)
        self._watch_for_the_end()

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol) -> None:
        """Open the variant's run before its first node, and follow the learning curve of a training node."""
        variant = variant_of(node)
        if self._runs is None or variant is None or variant not in self._left:
            return
        if variant not in self._runs:
            run = self._runs.open(
                variant, self._tags(variant, catalog), _params(variant, catalog), title=_title(variant, catalog)
            )
            if DATA_REPORT in catalog and catalog.exists(DATA_REPORT):
                self._runs.document(variant, catalog.load(DATA_REPORT), f"reports/{DATA_REPORT}.json")
            file = _file_of(f"{variant}.{RECORDS}", catalog)
            if file is not None:
                self._noted[variant] = (RunRecords(file), run)
                RunRecords(file).begin(run.record, run.above.record if run.above else None)
        work = work_of(node.func, catalog.load(WORK), variant)
        if work is not None and work.path.name == TRAINING:
            file = work.path / CURVE_FILE
            self._note(variant, trained=True, curve=file.as_posix())
            self._runs.follow(variant, file)
        if work is not None and work.path.name == archive.WORK and variant in self._noted:
            # archived results are found by the run's id
            note = {"run_id": self._noted[variant][1].id or "", "git.commit": self._facts.get("git.commit", "")}
            write_json(work.path / archive.TRACKER_NOTE, note)

    @hook_impl
    def after_node_run(self, node: Node, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Log what the node found, and end the variant's run after its last node."""
        if self._runs is None:
            return
        variant = variant_of(node)
        for name, value in outputs.items():
            self._log_output(variant or self._runs.parent, name.rpartition(".")[2], value, inputs)
        if variant is None or variant not in self._left:
            return
        self._runs.unfollow(variant)
        self._left[variant] -= 1
        if not self._left[variant]:
            self._note(variant, status="FINISHED", ended=_now())
            self._runs.end(variant)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the parent run."""
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Mark the runs that did not come to their end."""
        self._end("FAILED")

    def _tags(self, variant: str, catalog: CatalogProtocol) -> dict[str, Any]:
        if "data.fingerprint" not in self._facts:
            folder = _file_of(DATASET, catalog)
            files = {} if folder is None else {part: folder / file_name(part) for part in PARTS}
            self._facts["data.fingerprint"] = data_fingerprint(files)
        settings, family = catalog.load(f"params:{variant}"), ALL_VARIANTS[variant]
        recipe = f"params:{family}_recipe"
        return {
            **self._facts,
            "variant": variant,
            "family": family,
            "recipe": catalog.load(recipe) if recipe in catalog else None,
            **{group: getattr(getattr(settings, group, None), "name", None) for group in ("backbone", "objective")},
        }

    def _log_output(self, run: str | None, name: str, value: Any, inputs: dict[str, Any]) -> None:
        if self._runs is None or run is None:
            return
        if name == "metrics":
            model = _model_facts(run, inputs.get(f"{run}.model"))
            self._note(run, metrics=fingerprint_of(value), model=model)
            self._runs.result(run, value, model)
        if name == "comparison_report":
            self._runs.describe(run, headline(value.get("variants", {})))
        if name == "refreshes":
            points = [(f"refresh/{key}", value, record["step"]) for record in value for key, value in record.items()]
            self._runs.metrics(run, [point for point in points if point[0] not in ("refresh/step", "refresh/epoch")])
        if name in ("metrics", "baseline_metrics", "comparison_report"):
            self._runs.document(run, value, f"reports/{name}.json")
        elif name == "hard_negatives":
            self._runs.document(run, dict(value.meta), "reports/refresh_report.json")
        elif name == "curve":
            from vixml.reporting.figures import learning_curves

            self._runs.figure(run, learning_curves(value, title="Learning curve"), "plots/curve_plot.html")
        elif name == "comparison_plot":
            self._runs.figure(run, value, "plots/comparison_plot.html")
        elif name == REPORT:
            self._runs.text(run, value, "report.html")

    def _note(self, variant: str, **facts: Any) -> None:
        if variant in self._noted:
            records, run = self._noted[variant]
            records.change(run.record["key"], **facts)

    def _watch_for_the_end(self) -> None:
        """Let SIGTERM end the process as an exception does, and mark what is open at its end as killed."""
        atexit.register(self._end, "KILLED")
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, _terminate)

    def _end(self, status: str) -> None:
        if self._runs is not None:
            still_open = [variant for variant in self._noted if variant in self._runs]
            for variant in still_open:
                self._note(variant, status=status, ended=_now())
            arrived = self._runs.end_all(status, wait=self._wait)
            for variant, (_, run) in self._noted.items():
                self._note(variant, delivered=arrived and run.complete, session=status)
            self._runs = None
        atexit.unregister(self._end)
        if self._old_handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None


def variant_of(node: Node) -> str | None:
    """Return the variant whose namespace the node is in."""
    first = (node.namespace or "").split(".")[0]
    return first if first in ALL_VARIANTS else None


def _title(variant: str, catalog: CatalogProtocol) -> str:
    """Return the name of the variant's run, with the one that the user gave it."""
    given = str(catalog.load("params:run_name"))
    return f"{readable_name(variant)} ({given})" if given else readable_name(variant)


def _params(variant: str, catalog: CatalogProtocol) -> dict[str, str]:
    groups = {name: catalog.load(f"params:{name}") for name in _PROJECT_PARAMETERS}
    return {**shown_settings(catalog.load(f"params:{variant}")), **shown_settings(groups)}


def _model_facts(name: str, model: object) -> dict[str, str] | None:
    """Return what a tracker should know of a published model."""
    if not isinstance(model, SealedDirectory):
        return None
    facts = {"name": name, "path": model.path.as_posix(), "fingerprint": model.fingerprint}
    return {**facts, **{key: str(model.meta[key]) for key in ("parameters", "epochs", "steps") if key in model.meta}}


def _file_of(name: str, catalog: CatalogProtocol) -> Path | None:
    path = getattr(catalog.get(name), "_filepath", None)
    return None if path is None else Path(str(path))


def _now() -> int:
    return int(time.time() * 1000)


def _terminate(number: int, frame: object) -> NoReturn:
    """Turn the signal into an exception that no `except Exception` swallows."""
    raise SystemExit(128 + number)
