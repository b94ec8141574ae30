"""The folder that nodes keep resumable state in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from vixml.core.directories import WorkDirectory


class WorkDirectoryDataset(AbstractDataset[None, WorkDirectory]):
    """The project's work folder: no input of any node, as `vixml.core.workspace` hands each its own part of it.

    What a node leaves there (shards, checkpoints) lets a rerun continue; the finished part is published by a
    `SealedDirectoryDataset`.

    Args:
        filepath: The folder.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> WorkDirectory:
        """Return the folder, which need not exist yet."""
        return WorkDirectory(self._filepath)

    def save(self, data: None) -> NoReturn:
        """Refuse: a node writes into its folder.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A work folder is no output: let the node write into it and return what it built.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
