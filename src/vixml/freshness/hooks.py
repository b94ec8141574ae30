"""Kedro hooks: write down where every output comes from, warn about stale inputs, say how to go on after an error."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl
from pydantic import ValidationError

from vixml.core.directories import is_sealed, open_sealed
from vixml.core.errors import VixmlError, user_error
from vixml.core.provenance import flatten
from vixml.freshness.origin import Origin, origin_of, was_recorded, why_stale, write_record
from vixml.pipeline_registry import producer_of, register_pipelines

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_log = logging.getLogger(__name__)

PREDICTION = "params:prediction"
"""Parameters of the pipeline `prediction`, which say whose predictor is asked."""

PREDICTOR, UPDATED = "predictor", "updated_predictor"
"""Folder of a variant's predictor, and of the one with other labels."""


class FreshnessHooks:
    """Keeps the origin documents, and looks after the user where something is out of date or has failed."""

    def __init__(self) -> None:
        self._catalog: CatalogProtocol | None = None
        self._origins: dict[str, Origin] = {}
        self._running: Node | None = None
        self._saved: dict[str, set[str]] = {}

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Warn where the run reads what it does not make, and what is out of date."""
        self._catalog, self._origins, self._running, self._saved = catalog, {}, None, {}
        if not run_params.get("only_missing_outputs"):
            for message in [*stale_inputs(pipeline, catalog), updated_predictor_is_old(pipeline, catalog)]:
                if message:
                    _log.warning("%s", message)

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        """Remember which node is at work."""
        self._running = node

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node, catalog: CatalogProtocol) -> None:
        """Take the fingerprints of what the node reads, before it runs."""
        self._running = node
        self._origins[node.name] = origin_of(node, catalog)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the origin beside the output, after the output: a kill in between makes it stale, never wrong."""
        self._saved.setdefault(node.name, set()).add(dataset_name)
        if self._catalog is not None and node.name in self._origins:
            write_record(dataset_name, self._origins[node.name], self._catalog)

    @hook_impl
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Say where the run stopped, what is complete, and what to type."""
        if self._running is not None:
            done = [node.name for node in pipeline.nodes if self._saved.get(node.name, set()) >= set(node.outputs)]
            done = [name for name in done if name != self._running.name]
            reached = (self._running.name, done, len(pipeline.nodes))
            click.echo(go_on_message(*reached, run_params, refused=user_error(error) is not None), err=True)


def stale_inputs(pipeline: Pipeline, catalog: CatalogProtocol) -> list[str]:
    """Return one sentence for each node whose outputs this pipeline reads although they are out of date.

    Outputs without an origin document (made elsewhere, or by hand) are taken as they are.
    """
    producers = {name: node for node in register_pipelines()["__default__"].nodes for name in node.outputs}
    reasons: dict[str, str | None] = {}

    def reason_of(node: Node) -> str | None:
        if node.name not in reasons:
            reasons[node.name] = None
            below = (reason_of(producers[name]) for name in node.inputs if name in producers)
            reasons[node.name] = _own_reason(node, catalog) or next(filter(None, below), None)
        return reasons[node.name]

    read: dict[str, list[str]] = {}
    for name in sorted(pipeline.inputs() - _predictors_not_asked(pipeline, catalog)):
        if name in producers and catalog.exists(name) and reason_of(producers[name]):
            read.setdefault(producers[name].name, []).append(name)
    return [
        f"Out of date: {', '.join(names)}: {reasons[node]}{_recipe_of(node, catalog)}. To renew: "
        f"kedro run --only-missing-outputs --pipelines={producer_of(names[0])} (with the same --env and --params)."
        for node, names in read.items()
    ]


def _recipe_of(node: str, catalog: CatalogProtocol) -> str:
    """Return which recipe the settings of a variant's node come from: a changed recipe changes many of them."""
    family = node.partition("_")[0]
    name = f"params:{family}_recipe"
    return f" (the {family} recipe of this run: {catalog.load(name)})" if catalog.exists(name) else ""


def _predictors_not_asked(pipeline: Pipeline, catalog: CatalogProtocol) -> set[str]:
    """Return the predictors that `prediction` is given because it may be asked for any, and is not asked for now."""
    nodes = [node for node in pipeline.nodes if PREDICTION in node.inputs]
    if not nodes:
        return set()
    params = catalog.load(PREDICTION)
    asked = params["model"] if isinstance(params, Mapping) else params.model
    offered = {name for node in nodes for name in node.inputs if name.endswith(f".{PREDICTOR}")}
    return {name for name in offered if name != f"{asked}.{PREDICTOR}"}


def updated_predictor_is_old(pipeline: Pipeline, catalog: CatalogProtocol) -> str | None:
    """Return a sentence where `prediction` asks an updated predictor whose model was trained again since."""
    if not any(PREDICTION in node.inputs for node in pipeline.nodes):
        return None
    params = catalog.load(PREDICTION)
    folder = Path(params["model"] if isinstance(params, Mapping) else params.model)
    beside = folder.parent / PREDICTOR
    if folder.name != UPDATED or not (is_sealed(folder) and is_sealed(beside)):
        return None
    try:
        models = [open_sealed(place, kind=PREDICTOR).meta.get("model") for place in (folder, beside)]
    except (VixmlError, OSError):  # the prediction says what is wrong with it
        return None
    if models[0] == models[1]:
        return None
    return (
        f"Out of date: {folder} was made from an earlier training of its model. To renew: "
        "kedro run --pipelines=label_update (with the same --env and --params, and --namespaces=VARIANT)."
    )


def _own_reason(node: Node, catalog: CatalogProtocol) -> str | None:
    try:
        return why_stale(node, catalog) if was_recorded(node, catalog) else None
    except (VixmlError, ValidationError, OSError):  # settings of a pipeline that does not run now may be invalid
        return None


def go_on_message(
    node: str, done: list[str], total: int, run_params: Mapping[str, Any], *, refused: bool = False
) -> str:
    """Return where a run stopped, what is complete, and the command that continues it.

    Args:
        node: Where it stopped.
        done: Nodes that are complete.
        total: Number of nodes of the run.
        run_params: Kedro's description of the run.
        refused: The run ended with an error that names its remedy: the same command would end with it again.
    """
    listed = f" ({', '.join(done)})" if done else ""
    reached = f"\nStopped in {node}. Complete in this run: {len(done)} of {total} nodes{listed}.\n"
    if refused:
        return f"{reached}What is complete stays: --only-missing-outputs in the next command does not make it again.\n"
    return (
        f"{reached}What is complete stays, and a training continues at its newest checkpoint. To go on:\n\n"
        f"    {go_on_command(run_params)}\n"
    )


def go_on_command(run_params: Mapping[str, Any]) -> str:
    """Return the command that runs what a stopped run left to do.

    Typed on a command line it is what was typed, with `--only-missing-outputs`; else it is composed.
    """
    if Path(sys.argv[0]).name in ("kedro", "vixml") and sys.argv[1:2] == ["run"]:
        words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    else:
        words = ["kedro", "run"]
        options = {"pipelines": "pipeline_names", "env": "env", "tags": "tags", "nodes": "node_names"}
        options |= {"namespaces": "namespaces", "from-nodes": "from_nodes", "to-nodes": "to_nodes"}
        for option, key in options.items():
            value = run_params.get(key)
            if value:
                words.append(f"--{option}={value if isinstance(value, str) else ','.join(value)}")
        settings = flatten(run_params.get("runtime_params") or {})
        if settings:
            words.append("--params=" + ",".join(f"{name}={value}" for name, value in settings.items()))
    # `never` would throw away what the stopped run has reached
    words = [re.sub(r"(^|=|,)resume=never(,|$)", r"\1", word).rstrip(",") for word in words]
    if "--only-missing-outputs" not in words:
        words.append("--only-missing-outputs")
    return shlex.join(_without_empty_params(words))


def _without_empty_params(words: list[str]) -> list[str]:
    """Drop `--params` without a value, as one word or two."""
    kept: list[str] = []
    for word in words:
        if word == "" and kept and kept[-1] == "--params":
            kept.pop()
        elif word != "--params=":
            kept.append(word)
    return kept
