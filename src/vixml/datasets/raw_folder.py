"""The folder of raw files: a user's own, or the fabricated catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview

from vixml.core.directories import MANIFEST, Built, is_sealed, publish, read_json
from vixml.core.errors import DataError, shown
from vixml.ingestion.benchmark.layouts import KNOWN, holds_benchmark

RAW_KIND = "raw-catalogue"


class RawFolderDataset(AbstractDataset[Built, Path]):
    """Raw files in the benchmark's format, handed on as the folder's path.

    Loading takes any such folder. Saving publishes a fabricated catalogue and never replaces a folder that the
    project did not fabricate itself.

    Args:
        filepath: The folder.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath).expanduser()
        self.metadata = metadata

    def save(self, data: Built) -> None:
        """Publish a fabricated catalogue.

        Raises:
            DataError: The folder holds files that the project did not fabricate.
        """
        self.check_replaceable()
        publish(data, self._filepath)

    def check_replaceable(self) -> None:
        """Make sure that a fabricated catalogue may be written here.

        Raises:
            DataError: The folder holds files that the project did not fabricate.
        """
        folder = self._filepath
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return
        if is_sealed(folder) and read_json(folder / MANIFEST).get("kind") == RAW_KIND:
            return
        raise DataError(
            "the folder contains your own files, and demo data never overwrites them",
            file=folder,
            remedy="for your own raw files run `kedro run --pipelines=study --params data_root=FOLDER`, or with an "
            "environment that `vixml init-data` wrote `kedro run --env=NAME --pipeline=study`; "
            "for demo data leave out `data_root` or name a new folder.",
        )

    def load(self) -> Path:
        """Return the folder.

        Raises:
            DataError: No such folder, or it has no label file.
        """
        if not self._exists():
            raise self.missing()
        return self._filepath

    def missing(self) -> DataError:
        """Return the error that says what a raw folder must hold."""
        present = self._filepath.is_dir()
        return DataError(
            "the folder has no label file" if present else "there is no folder of raw files here",
            file=self._filepath,
            found=", ".join(sorted(p.name for p in self._filepath.iterdir())[:12]) or "nothing" if present else None,
            expected=KNOWN,
            remedy="pass `--params data_root=FOLDER`, look at your own tables with `vixml init-data FOLDER`, "
            "or run `fabrication` first for the demo data.",
        )

    def preview(self) -> JSONPreview:
        """Return the names and sizes of the files at the top of the folder."""
        files = {shown(p.name): p.stat().st_size for p in sorted(self.load().iterdir()) if p.is_file()}
        return JSONPreview(json.dumps({"folder": self._filepath.name, "bytes": files}, ensure_ascii=False))

    def _exists(self) -> bool:
        from vixml.ingestion.tables.files import holds_tables

        folder = self._filepath
        return holds_benchmark(folder) or (folder.is_dir() and holds_tables(folder))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
