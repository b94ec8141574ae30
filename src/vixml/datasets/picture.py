"""One picture as a PNG file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview

from vixml.core.directories import atomic_file
from vixml.core.errors import StateError


class PictureDataset(AbstractDataset[bytes, bytes]):
    """The bytes of a PNG file, written atomically; Kedro-Viz shows the picture.

    Args:
        filepath: The `.png` file.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: bytes) -> None:
        """Write the file."""
        with atomic_file(self._filepath) as temporary:
            temporary.write_bytes(data)

    def load(self) -> bytes:
        """Read the file.

        Raises:
            StateError: It is missing.
        """
        try:
            return self._filepath.read_bytes()
        except FileNotFoundError as err:
            raise StateError("the file is missing", file=self._filepath) from err

    def preview(self) -> ImagePreview:
        """Return the picture in base64."""
        return ImagePreview(base64.b64encode(self.load()).decode("ascii"))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
