"""Running a pipeline node by node, skipping what is fresh at the moment its turn comes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.runner import SequentialRunner, Task

from vixml.core.storage import storage_error
from vixml.freshness.contents import path_of
from vixml.freshness.origin import why_stale

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node
    from pluggy import PluginManager

_log = logging.getLogger(__name__)


class FreshRunner(SequentialRunner):
    """Kedro's sequential runner with another meaning of `--only-missing-outputs`: missing OR out of date.

    Kedro decides by existence and before anything runs. Here a node is looked at when its turn comes, so that a node
    whose input was made anew, but equal, does not run. A full disk is reported as such (`StorageError`).
    """

    began = False
    """Whether there was something to run."""

    def __str__(self) -> str:
        # Kedro-Viz shows the status of runs of Kedro's sequential runner only, and asks for its name
        return f"{type(self).__name__}, which is a kedro.runner.sequential_runner.SequentialRunner object"

    @property
    def _logger(self) -> logging.Logger:
        # Kedro takes that of the class's module; what Kedro says of the run then counts as Kedro's
        return logging.getLogger(SequentialRunner.__module__)

    def run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run a pipeline, as in Kedro.

        Args:
            pipeline: What to run.
            catalog: Where its data sets are.
            hook_manager: Hooks to call.
            run_id: Name of the run.
            only_missing_outputs: Skip the nodes whose outputs are there and fresh.
        """
        self.began, self._skip_fresh = True, only_missing_outputs
        return super().run(pipeline, catalog, hook_manager, run_id)

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        nodes, skipped = pipeline.nodes, 0
        for number, node in enumerate(nodes):
            reason = why_stale(node, catalog) if self._skip_fresh else ""
            if reason is None:
                skipped += 1
                continue
            if reason:
                _log.info("%s has to run: %s", node.name, reason)
            try:
                Task(node=node, catalog=catalog, hook_manager=hook_manager, is_async=False, run_id=run_id).execute()
            except Exception as err:
                found = storage_error(err, path=_place(node, catalog))
                if found is None or found is err:
                    raise
                raise found from err
            later = {name for other in nodes[number + 1 :] for name in other.inputs}
            for name in {*node.inputs, *node.outputs} - later - pipeline.inputs() - pipeline.outputs():
                catalog.release(name)
        if skipped:
            _log.info("%d of %d nodes were up to date and did not run.", skipped, len(nodes))


def _place(node: Node, catalog: CatalogProtocol) -> Path | None:
    """Return a folder on the disk that `node` writes to."""
    paths = (path_of(catalog.get(name)) for name in node.outputs)
    return next((path.parent for path in paths if path is not None), None)
