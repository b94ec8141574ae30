"""The private folder of one producer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from vixml.core.directories import WorkDirectory


class WorkDirectoryDataset(AbstractDataset[None, WorkDirectory]):
    """Input of a node that builds something big: a folder that always exists and survives a crash.

    What the node leaves in it (shards, checkpoints) lets a rerun continue; the finished part is published by a
    `SealedDirectoryDataset`.

    Args:
        filepath: The folder; made on first load.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> WorkDirectory:
        """Return the folder, making it if need be."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        return WorkDirectory(self._filepath)

    def save(self, data: None) -> NoReturn:
        """Refuse: a work directory is an input only.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A work directory is an input: let the node write into it and return what it built.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
