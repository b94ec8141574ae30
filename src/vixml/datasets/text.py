"""A text file: Markdown, LaTeX, HTML."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import HTMLPreview, TablePreview

from vixml.core.directories import atomic_file
from vixml.core.errors import StateError


class TextFileDataset(AbstractDataset[str, str]):
    """One UTF-8 text file, written atomically.

    Args:
        filepath: The file.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: str) -> None:
        """Write the text."""
        with atomic_file(self._filepath) as temporary:
            temporary.write_text(data, encoding="utf-8")

    def load(self) -> str:
        """Read the text.

        Raises:
            StateError: The file is missing.
        """
        try:
            return self._filepath.read_text(encoding="utf-8")
        except FileNotFoundError as err:
            raise StateError("the file is missing", file=self._filepath) from err

    def preview(self, nrows: int = 50) -> TablePreview:
        """Return the first lines, long ones cut, for Kedro-Viz."""
        lines = [line[:200] for line in self.load().splitlines()[:nrows]]
        return TablePreview({"index": list(range(len(lines))), "columns": ["text"], "data": [[line] for line in lines]})

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}


class PageDataset(TextFileDataset):
    """A page of HTML with scripts, which Kedro-Viz leaves out: its preview says what it is and where to open it."""

    def preview(self) -> HTMLPreview:  # type: ignore[override]
        """Return the page's title, its size and its place."""
        text = self.load()
        title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
        # a title may hold markup that a browser takes for text there, and for markup here
        name = (
            re.sub("[<>]", lambda sign: html.escape(sign[0]), title[1]) if title else html.escape(self._filepath.name)
        )
        return HTMLPreview(
            f"<h3>{name}</h3><p>One page of {len(text.encode()) / 1e6:.1f} MB; open it in a browser:</p>"
            f"<p><code>{html.escape(Path(*self._filepath.parts[-3:]).as_posix())}</code></p>"
        )
