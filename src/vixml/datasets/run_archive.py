"""The results of a variant's runs, one small directory each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from vixml.core.directories import Built, is_sealed, publish
from vixml.evaluation.archive import RunArchive, in_order, stored_runs


class RunArchiveDataset(AbstractDataset[Built, RunArchive]):
    """A folder of runs: saving adds one and lets the oldest go, loading lists them, newest first.

    Args:
        filepath: The folder.
        variant: Whose runs they are.
        keep: Most runs that are kept, at least 1.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(
        self, *, filepath: str, variant: str = "", keep: int = 30, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self._variant, self._keep = variant, keep
        self.metadata = metadata

    def save(self, data: Built) -> None:
        """Add a run."""
        data = in_order(data, max((path.name for path in self._sealed()), default=""))
        publish(data, self._filepath / data.meta["id"])
        for path in sorted(self._sealed(), reverse=True)[self._keep :]:
            shutil.rmtree(path)

    def load(self) -> RunArchive:
        """List the runs, newest first; none where there is no folder."""
        return RunArchive(self._variant, stored_runs(self._filepath))

    def preview(self) -> TablePreview:
        """Return the runs with their first metrics."""
        rows = []
        for run in self.load().runs:
            metrics = run.document["result"]["metrics"]
            rows.append([run.id, run.document["name"], *(round(100 * metrics.get(key, 0.0), 2) for key in _SHOWN)])
        return TablePreview({"index": list(range(len(rows))), "columns": ["run", "name", *_SHOWN], "data": rows})

    def _exists(self) -> bool:
        return bool(self._sealed())

    def _sealed(self) -> list[Path]:
        return [path for path in self._filepath.glob("[!.]*") if is_sealed(path)]

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix(), "keep": self._keep}


_SHOWN = ("P@1", "P@5", "PSP@5")
