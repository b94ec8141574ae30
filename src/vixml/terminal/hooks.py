"""Kedro hooks that print what a run does: a line per stage, the results, and what to look at next."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl

from vixml.configuration.compose import ALL_VARIANTS
from vixml.core.progress import duration, subject
from vixml.core.provenance import flatten
from vixml.metrics.ranking import HEADLINE, standing
from vixml.terminal.handler import PASSING, install
from vixml.terminal.made import describe, percents

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_log = logging.getLogger(__name__)

TABLE, REPORT, PAGE = "comparison_table", "comparison_report", "report_html"
"""Data sets of a comparison, in whatever namespace."""

METRICS, PREDICTOR, UPDATED = "metrics", "predictor", "updated_predictor"
"""Data sets of a variant."""

PREDICTION, DATASET = "prediction", "dataset"
"""The folder of predictions, and the ingested data."""


class TerminalHooks:
    """Prints a line for each stage, and the results of the run with the next commands at its end."""

    def __init__(self) -> None:
        self._project, self._conf = Path(), "conf"
        self._catalog: CatalogProtocol | None = None
        self._began = self._node_began = 0.0
        self._made = ""
        self._unsaved: set[str] = set()
        self._stages = 0

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project is, and take over the terminal."""
        install()
        self._project, self._conf = Path(context.project_path), str(context.config_loader.conf_source)

    @hook_impl
    def before_pipeline_run(self, catalog: CatalogProtocol) -> None:
        """Start the clock."""
        self._catalog, self._began, self._stages = catalog, time.monotonic(), 0

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Show on a terminal which stage runs, until its own line takes the place; its progress names the variant."""
        subject.set(node.namespace if node.namespace in ALL_VARIANTS else "")
        self._node_began, self._unsaved = time.monotonic(), set(node.outputs)
        _log.info("Running %s", node.name, extra=PASSING)

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any]) -> None:
        """Note what the stage made; where it is comes when it has been saved."""
        subject.set("")
        self._made = describe(outputs)

    @hook_impl
    def on_node_error(self) -> None:
        """Forget whose stage it was."""
        subject.set("")

    @hook_impl(trylast=True)
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Print the stage's line after its last output."""
        self._unsaved.discard(dataset_name)
        if self._unsaved or self._catalog is None:
            return
        self._stages += 1
        place = self._place(node.outputs[0], self._catalog)
        words = [self._made, f"-> {place}" if place else "", f"({duration(time.monotonic() - self._node_began)})"]
        _log.info("%s: %s", node.name, " ".join(word for word in words if word))

    @hook_impl(trylast=True)
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the results, and what to look at next."""
        made = pipeline.all_outputs()
        for name in sorted(name for name in made if name.rpartition(".")[2] == TABLE):
            from vixml.reporting.table import print_table

            print_table(catalog.load(name), report=catalog.load(name.removesuffix(TABLE) + REPORT))
        if not any(name.rpartition(".")[2] == TABLE for name in made):
            for name in sorted(name for name in made if name.rpartition(".")[2] == METRICS):
                _print_metrics(name.rpartition(".")[0], catalog.load(name))
        stages = "1 stage" if self._stages == 1 else f"{self._stages} stages"
        _log.info("Finished %s in %s.", stages, duration(time.monotonic() - self._began))
        steps = self._next_steps(made, run_params, catalog)
        if steps:
            width = max(len(what) for what, _ in steps)
            click.echo("Next:\n" + "\n".join(f"  {what:{width}}  {how}" for what, how in steps))

    def _next_steps(
        self, made: set[str], run_params: Mapping[str, Any], catalog: CatalogProtocol
    ) -> list[tuple[str, str]]:
        """Return what to look at, and what to open or type for that."""
        pages = _named(made, PAGE)
        steps = [("report", self._place(name, catalog)) for name in pages]
        if PREDICTION in made:
            file = catalog.load("prediction_report")["file"]
            steps.append(("predictions", f"{self._place(PREDICTION, catalog)}/{file}"))
        updated = [self._place(name, catalog) for name in _named(made, UPDATED)]
        steps += [("try the labels", f"vixml serve --model {place}") for place in updated]
        trained = [f"{variant}.{METRICS}" for variant in ALL_VARIANTS if f"{variant}.{METRICS}" in made]
        if trained and not pages:
            steps += [("all metrics", self._place(name, catalog)) for name in trained]
            steps.append(("compare", self._command("comparison", run_params)))
        if trained:
            best = max(trained, key=lambda name: standing(catalog.load(name)["metrics"]))
            model = Path(self._place(f"{best.rpartition('.')[0]}.{PREDICTOR}", catalog)).parent.as_posix()
            steps.append(("ask the model", f"vixml serve --model {model}"))
        elif DATASET in made and not pages:
            steps.append(("train", self._command("study", run_params)))
        return steps and [*steps, *self._tools(run_params, tracked=bool(trained or pages))]

    def _tools(self, run_params: Mapping[str, Any], *, tracked: bool) -> list[tuple[str, str]]:
        if not (self._project / "pyproject.toml").is_file():  # the installed package: kedro has no project to open
            return [("runs and curves", _mlflow_command())] if tracked else []
        environment = f"--env={run_params['env']}" if run_params.get("env") else ""
        has_make = (self._project / "Makefile").is_file()
        options = f' ARGS="{environment}"' if environment else ""

        def command(target: str, own: str) -> str:
            return f"make {target}{options}" if has_make else f"{own} {environment}".strip()

        tools = [("graph", command("viz", "kedro viz run"))]
        return [*tools, ("runs and curves", command("mlflow", "kedro mlflow ui"))] if tracked else tools

    def _command(self, pipeline: str, run_params: Mapping[str, Any]) -> str:
        """Return the command that runs another pipeline with the environment and the settings of this run."""
        words = ["kedro", "run", f"--pipeline={pipeline}"]
        if not (self._project / "pyproject.toml").is_file():
            words = [
                "vixml",
                "run",
                f"--conf-source={self._conf}",
                f"--pipeline={pipeline}",
            ]
        if run_params.get("env"):
            words.append(f"--env={run_params['env']}")
        settings = flatten(run_params.get("runtime_params") or {})
        settings.pop("resume", None)  # it belongs to the training that has ended
        if settings:
            words += ["--params", ",".join(f"{name}={value}" for name, value in settings.items())]
        return shlex.join(words)

    def _place(self, name: str, catalog: CatalogProtocol) -> str:
        """Return where a data set is stored, relative to the project where it is below it; empty in memory."""
        path = getattr(catalog.get(name), "_filepath", None)
        if path is None:
            return ""
        place, project = Path(str(path)), self._project.resolve()
        return (place.relative_to(project) if place.is_relative_to(project) else place).as_posix()


def _named(names: set[str], last: str) -> list[str]:
    return sorted(name for name in names if name.rpartition(".")[2] == last)


def _mlflow_command() -> str:
    """Return the command that shows the runs without a project; an address of a server may have a password in it."""
    import mlflow

    store = mlflow.get_tracking_uri()
    return (
        f"mlflow ui --backend-store-uri {shlex.quote(store)}" if store.startswith("sqlite:") else "your MLflow server"
    )


def _print_metrics(variant: str, document: Mapping[str, Any]) -> None:
    """Print the metrics of one variant."""
    about = f"{document['dataset']}, {document['queries']:,} test queries"
    click.echo(f"{variant} ({about}): {percents(document['metrics'], HEADLINE)}")
