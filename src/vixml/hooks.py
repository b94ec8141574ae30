"""Kedro hooks that catch a user's mistakes before anything runs, and show the result at the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from vixml.core.errors import StateError
from vixml.datasets.raw_folder import RawFolderDataset
from vixml.params.composition import check_keys
from vixml.pipelines.stage import OPTIONAL

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

_log = logging.getLogger(__name__)

RAW = "raw"
"""The folder of raw files."""

RESULT = "comparison_table"
"""The data set that is printed at the end of a run that made it."""


class ProjectHooks:
    """Checks the parameters' names and the inputs on disk; prints the comparison."""

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

        Raises:
            StateError: An input is missing; the pipeline to run first is named.
            DataError: The raw folder is not there, or must not be written.
        """
        if run_params.get("only_missing_outputs"):
            return
        for name in pipeline.all_outputs():
            dataset = catalog.get(name)
            if isinstance(dataset, RawFolderDataset):
                dataset.check_replaceable()
        inputs = (name for name in pipeline.inputs() if not name.startswith("params:") and name != "parameters")
        for name in sorted(inputs, key=lambda name: (name != RAW, "." in name, name)):  # in the order they are made
            _check_input(name, pipeline, catalog)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which node begins (Kedro's own message names every input)."""
        _log.info("Running %s", node.name)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print the comparison table where the run made one."""
        if RESULT in pipeline.all_outputs():
            from vixml.reporting.table import print_table

            print_table(catalog.load(RESULT), report=catalog.load("comparison_report"))


def _check_input(name: str, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    if catalog.exists(name) or all(OPTIONAL in node.tags for node in pipeline.nodes if name in node.inputs):
        return
    dataset = catalog.get(name)
    if isinstance(dataset, RawFolderDataset):
        raise dataset.missing()
    producer = producer_of(name)
    raise StateError(
        f"`{name}` is not there yet",
        file=getattr(dataset, "_filepath", None),
        remedy=f"run `kedro run --pipelines={producer}` first (with the same --params)."
        if producer
        else "run the pipeline that makes it first.",
    )


def producer_of(name: str) -> str | None:
    """Return the smallest registered pipeline that makes the data set `name`."""
    from vixml.pipeline_registry import register_pipelines

    found = {key: len(value.nodes) for key, value in register_pipelines().items() if name in value.all_outputs()}
    return min(found, key=found.__getitem__) if found else None
