"""Kedro hooks: of two runs that write the same outputs, the second one ends before it does anything."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from vixml.claims.claim import FOLDER, HeldClaim, claim
from vixml.configuration.compose import ALL_VARIANTS
from vixml.core import workspace
from vixml.core.directories import WorkDirectory
from vixml.core.redact import redact
from vixml.freshness.contents import path_of
from vixml.tracking.hooks import RECORDS

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

_WORK = "work"


class ExclusiveHooks:
    """Claims what a run is going to write, and makes sure before each output that the claim still holds."""

    def __init__(self) -> None:
        self._held: HeldClaim | None = None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Claim the outputs.

        Raises:
            StateError: Another run is writing one of them; its process, host and start are named.
        """
        self.release()
        writes = written_by(pipeline, catalog)
        if writes:
            work: WorkDirectory = catalog.load(_WORK)
            self._held = claim(work.path / FOLDER, writes, _command(run_params))

    @hook_impl(tryfirst=True)
    def before_node_run(self) -> None:
        """Stop where another run has taken over."""
        self._check()

    @hook_impl(tryfirst=True)
    def before_dataset_saved(self) -> None:
        """Stop where another run has taken over."""
        self._check()

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Give the outputs back."""
        self.release()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Give the outputs back."""
        self.release()

    def release(self) -> None:
        """Give the outputs back; the session calls it at every kind of end."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def _check(self) -> None:
        if self._held is not None:
            self._held.check()


def written_by(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, str]:
    """Return what a run writes, absolute path -> name: files, published folders, its nodes' private folders."""
    paths = {name: path_of(catalog.get(name)) for name in sorted(pipeline.all_outputs())}
    root = catalog.load(_WORK) if _WORK in catalog else None
    for node in pipeline.nodes:
        variant = node.namespace if node.namespace in ALL_VARIANTS else None
        work = None if root is None else workspace.work_of(node.func, root, variant)
        if work is not None and not getattr(node.func, "work_divided", False):
            paths[f"the work of {node.name}"] = work.path
        if variant is not None:  # the variant's list of runs, which tracking keeps
            paths[f"{variant}.{RECORDS}"] = path_of(catalog.get(f"{variant}.{RECORDS}"))
    # outputs come first, so that a path is called after the output where there is one
    return {os.path.realpath(path): name for name, path in reversed(paths.items()) if path is not None}


def _command(run_params: dict[str, Any]) -> str:
    """Return what was typed, without secrets; the pipelines where nothing was."""
    if Path(sys.argv[0]).name in ("kedro", "vixml") and sys.argv[1:2] == ["run"]:
        words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    else:
        words = ["kedro", "run", "--pipelines=" + ",".join(run_params.get("pipeline_names") or ["__default__"])]
    return redact(shlex.join(words))
