"""Kedro hooks that catch a user's mistakes before anything runs, and give each node its private folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DatasetError

from vixml.configuration.compose import ALL_VARIANTS, check_keys
from vixml.core import workspace
from vixml.core.directories import WorkDirectory
from vixml.core.errors import StateError
from vixml.datasets.raw_folder import RawFolderDataset
from vixml.freshness.origin import why_stale
from vixml.params.comparison import ComparisonParams
from vixml.params.variant import VariantParams
from vixml.pipeline_registry import producer_of
from vixml.pipelines.comparison.nodes import compare, test_set_of
from vixml.pipelines.stage import OPTIONAL

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_log = logging.getLogger(__name__)

RAW = "raw"
"""The folder of raw files."""

REPORT = "data_report"
"""What ingestion says of the data."""

WORK = "work"
"""The folder that nodes keep resumable state in."""


class ProjectHooks:
    """Checks the parameters' names and the inputs on disk."""

    def __init__(self) -> None:
        self._looked_at: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse misspelt parameters.

        Raises:
            ConfigError: There is no such parameter; the nearest is named.
        """
        check_keys(context.config_loader["parameters"])

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Refuse to start where an input is missing, or where demo data would replace a user's files.

        With `--only-missing-outputs` a node that is up to date needs no inputs.

        Raises:
            StateError: An input is missing; the pipeline to run first is named.
            DataError: The raw folder is not there, or must not be written.
        """
        self._looked_at = set()
        for name in pipeline.all_outputs():
            dataset = catalog.get(name)
            if isinstance(dataset, RawFolderDataset):
                dataset.check_replaceable()
        nodes = pipeline.nodes
        if run_params.get("only_missing_outputs"):
            nodes = [node for node in nodes if why_stale(node, catalog) is not None]
        needed = pipeline.inputs() & {name for node in nodes for name in node.inputs}
        inputs = (name for name in needed if not name.startswith("params:") and name != "parameters")
        for name in sorted(inputs, key=lambda name: (name != RAW, "." in name, name)):  # in the order they are made
            _check_input(name, pipeline, catalog)
        for node in nodes:
            if node.func is compare:
                _check_comparison(node, pipeline, catalog)

    @hook_impl
    def before_node_run(self, node: Node, catalog: CatalogProtocol) -> None:
        """Warn once for each variant that images are missing to."""
        for variant in sorted(_reading_images(node) - self._looked_at):
            self._looked_at.add(variant)
            if (message := _missing_images(variant, catalog)) is not None:
                _log.warning("%s: %s", variant, message)


class WorkHooks:
    """Gives each node its private folder, and clears it when all that the node made is published."""

    def __init__(self) -> None:
        self._work: WorkDirectory | None = None
        self._unsaved: set[str] = set()

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node, catalog: CatalogProtocol) -> None:
        """Say which folder the node works in."""
        variant = node.namespace if node.namespace in ALL_VARIANTS else None
        self._work, self._unsaved = workspace.work_of(node.func, catalog.load(WORK), variant), set(node.outputs)
        workspace.use(self._work)

    @hook_impl(trylast=True)
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Clear the folder after the last output, its origin included: until then a kill must find what is in it."""
        self._unsaved.discard(dataset_name)
        if not self._unsaved and self._work is not None:
            workspace.clear(node.func, self._work)


def _reading_images(node: Node) -> set[str]:
    """Return the variants whose settings a node takes together with the image bank."""
    given = {name.removeprefix("params:") for name in node.inputs} if "image_bank" in node.inputs else set()
    return given & ALL_VARIANTS.keys()


def _missing_images(variant: str, catalog: CatalogProtocol) -> str | None:
    from vixml.ingestion.report import images_that_are_not_there

    params = catalog.load(f"params:{variant}")
    if isinstance(params, Mapping):
        params = VariantParams.model_validate(dict(params))
    with suppress(DatasetError):  # a hint is no reason to stop
        if REPORT in catalog and catalog.exists(REPORT):
            return images_that_are_not_there(catalog.load(REPORT), params.model)
    return None


def _check_input(name: str, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    if catalog.exists(name) or all(OPTIONAL in node.tags for node in pipeline.nodes if name in node.inputs):
        return
    dataset = catalog.get(name)
    if isinstance(dataset, RawFolderDataset):
        raise dataset.missing()
    raise _not_there(name, catalog)


def _not_there(name: str, catalog: CatalogProtocol) -> StateError:
    producer = producer_of(name)
    return StateError(
        f"`{name}` is not there yet",
        file=getattr(catalog.get(name), "_filepath", None),
        remedy=f"run `kedro run --pipelines={producer}` first (with the same --env and --params)."
        if producer
        else "run the pipeline that makes it first.",
    )


def _check_comparison(node: Node, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Resolve the runs to compare, where this run makes none itself: baselines take minutes, and come before.

    Raises:
        StateError: There is no such run, or none at all.
    """
    from vixml.reporting.compare import select

    params, references, _, _, _, dataset, *archives = node.inputs
    if pipeline.all_outputs() & {dataset, *archives}:
        return
    if not catalog.exists(dataset):
        raise _not_there(dataset, catalog)
    found = {archive.variant: archive.runs for archive in map(catalog.load, archives)}
    comparison = ComparisonParams.model_validate(catalog.load(params))
    said_later = logging.getLogger(select.__module__.replace("compare", "selection"))
    said_later.disabled = True
    try:
        select(found, catalog.load(references), comparison, test_set_of(catalog.load(dataset)))
    finally:
        said_later.disabled = False
