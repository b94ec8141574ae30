"""A directory that appears whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview

from vixml.core.directories import MANIFEST, Built, SealedDirectory, is_sealed, open_sealed, publish, read_json
from vixml.core.errors import StateError


class SealedDirectoryDataset(AbstractDataset[Built, SealedDirectory | None]):
    """A big result as a published directory: saving moves and seals it, loading gives a handle and reads no data.

    Args:
        filepath: The directory.
        kind: What it holds (`tokens`, `model`, ...); another kind is refused on save and on load.
        missing_ok: Load None where there is none, for nodes that can do without.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(
        self, *, filepath: str, kind: str, missing_ok: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self._kind = kind
        self.missing_ok = missing_ok
        self.metadata = metadata

    def save(self, data: Built) -> None:
        """Publish a finished folder, replacing an older one.

        Raises:
            StateError: The node built another kind of directory.
        """
        if data.kind != self._kind:
            raise StateError("the node built something else", file=self._filepath, found=data.kind, expected=self._kind)
        publish(data, self._filepath)

    def load(self) -> SealedDirectory | None:
        """Open the directory.

        Raises:
            StateError: Not there (unless `missing_ok`), not complete, or of another kind.
        """
        if self.missing_ok and not self._exists():
            return None
        return open_sealed(self._filepath, kind=self._kind)

    def preview(self) -> JSONPreview:
        """Return the manifest: facts, and the files with their sizes."""
        manifest = read_json(self._filepath / MANIFEST)
        files = {name: facts["bytes"] for name, facts in manifest["files"].items()}
        summary = {"kind": manifest["kind"], "meta": manifest["meta"], "bytes": files}
        return JSONPreview(json.dumps(summary, ensure_ascii=False))

    def _exists(self) -> bool:
        return is_sealed(self._filepath)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix(), "kind": self._kind, "missing_ok": self.missing_ok}
