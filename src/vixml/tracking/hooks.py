"""Kedro hooks that track each variant as an MLflow run.

kedro-mlflow prepares the store and the experiment from conf/*/mlflow.yml and serves `kedro mlflow ui`. Its own logging
is switched off: it would put all variants into one run, and each group of parameters into it as one long string.
"""

from __future__ import annotations

import atexit
import logging
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.framework.hooks import hook_impl

from vixml.core.directories import WorkDirectory
from vixml.params.composition import VARIANTS
from vixml.tracking.facts import data_fingerprint, flatten, git_state, library_versions, numbers
from vixml.tracking.mirror import CurveMirror

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

    from vixml.tracking.runs import VariantRuns

_log = logging.getLogger(__name__)

CURVE_FILE = "curve.jsonl"
_DATA = (
    *(f"items_{side}" for side in ("train", "validation", "test", "label")),
    *(f"{kind}_{side}" for kind in ("relevance", "filter") for side in ("train", "validation", "test")),
)
_PROJECT_PARAMETERS = ("seed", "data", "vision", "evaluation")


class TrackingHooks:
    """One MLflow run a variant; under a parent run where a session makes several."""

    def __init__(self) -> None:
        self._config: Any = None
        self._project = Path()
        self._runs: VariantRuns | None = None
        self._left: Counter[str] = Counter()
        self._mirrors: dict[str, CurveMirror] = {}
        self._facts: dict[str, str] = {}
        self._old_handler: Any = None

    @hook_impl(trylast=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Take kedro-mlflow's configuration; without kedro-mlflow nothing is tracked."""
        self._config = getattr(context, "mlflow", None)
        self._project = context.project_path

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Switch kedro-mlflow's own logging off, and open the parent run where there are several variants."""
        self._runs, self._mirrors, self._facts = None, {}, {}
        names = run_params.get("pipeline_names") or ["__default__"]
        if self._config is None:
            return
        self._config.tracking.disable_tracking.pipelines = list(names)
        self._left = Counter(variant for node in pipeline.nodes if (variant := variant_of(node)))
        if not self._left:
            return
        from vixml.tracking.runs import VariantRuns

        self._runs = VariantRuns(
            self._config.server._mlflow_client, self._config.tracking.experiment._experiment.experiment_id
        )
        self._facts = {
            "dataset": catalog.load("params:dataset"),
            "kedro.pipeline": "+".join(names),
            **git_state(self._project),
            **library_versions(),
        }
        if len(self._left) > 1:
            self._runs.open_parent("+".join(names).strip("_"), self._facts)
        self._watch_for_the_end()

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any]) -> None:
        """Open the variant's run before its first node, and follow the learning curve of a training node."""
        variant = variant_of(node)
        if self._runs is None or variant is None:
            return
        if self._runs.open(variant, self._tags(variant, catalog)):
            self._log_params(variant, catalog)
        work = inputs.get(f"{variant}.training_work")
        if isinstance(work, WorkDirectory):
            runs = self._runs
            mirror = self._mirrors.setdefault(
                variant, CurveMirror(work.path / CURVE_FILE, lambda points: runs.metrics(variant, points))
            )
            mirror.start()

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Log what the node found, and end the variant's run after its last node."""
        if self._runs is None:
            return
        variant = variant_of(node)
        for name, value in outputs.items():
            self._log_output(variant or self._runs.parent, name.rpartition(".")[2], value)
        if variant is None:
            return
        if variant in self._mirrors:
            self._mirrors[variant].stop()
        self._left[variant] -= 1
        if not self._left[variant]:
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
            files = {name: path for name in _DATA if (path := _file_of(name, catalog)) is not None}
            self._facts["data.fingerprint"] = data_fingerprint(files)
        settings = catalog.load(f"params:{variant}")
        backbone = getattr(settings, "backbone", None)
        return {
            **self._facts,
            "variant": variant,
            "family": VARIANTS[variant],
            "backbone": getattr(backbone, "name", None),
        }

    def _log_params(self, variant: str, catalog: CatalogProtocol) -> None:
        assert self._runs is not None
        groups = {name: catalog.load(f"params:{name}") for name in _PROJECT_PARAMETERS}
        self._runs.params(variant, [*flatten(catalog.load(f"params:{variant}")), *flatten(groups)])

    def _log_output(self, run: str | None, name: str, value: Any) -> None:
        if self._runs is None or run is None:
            return
        if name == "metrics":
            self._runs.metrics(run, ((key, number, 0) for key, number in _final(value)))
        if name in ("metrics", "refresh_report", "baseline_metrics", "comparison_report"):
            self._runs.document(run, value, f"reports/{name}.json")
        elif name in ("curve_plot", "comparison_plot"):
            self._runs.figure(run, value, f"plots/{name}.html")

    def _watch_for_the_end(self) -> None:
        """Let SIGTERM end the process as an exception does, and mark what is open at its end as killed."""
        atexit.register(self._end, "KILLED")
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, _terminate)

    def _end(self, status: str) -> None:
        for mirror in self._mirrors.values():
            mirror.stop()
        if self._runs is not None:
            self._runs.end_all(status)
            self._runs = None
        atexit.unregister(self._end)
        if self._old_handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None


def variant_of(node: Node) -> str | None:
    """Return the variant whose namespace the node is in."""
    first = (node.namespace or "").split(".")[0]
    return first if first in VARIANTS else None


def _final(document: dict[str, Any]) -> list[tuple[str, float]]:
    """Return the final metrics under their own names, and all other numbers with their section."""
    rest = {key: value for key, value in document.items() if key != "metrics"}
    return [*numbers(document.get("metrics", {})), *numbers(rest)]


def _file_of(name: str, catalog: CatalogProtocol) -> Path | None:
    path = getattr(catalog.get(name), "_filepath", None)
    return None if path is None else Path(str(path))


def _terminate(number: int, frame: object) -> NoReturn:
    """Turn the signal into an exception that no `except Exception` swallows."""
    raise SystemExit(128 + number)
