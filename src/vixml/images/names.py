"""Where the file of an image is that a table names: one rule for manifests, tables, queries and new labels."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path, PurePosixPath


def find_image(root: Path, name: str) -> str | None:
    """Return the file that a name means, relative to the root; None where there is none.

    A backslash is a slash; the file may be in the root or in its folder `images`; and a name is the same whether its
    accents are composed or not: macOS decomposes them, tables seldom do.

    Args:
        root: Folder that names are relative to.
        name: The name as a table has it. One that leaves the root is not looked for.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        return None
    candidates = (path, PurePosixPath("images") / path)
    for candidate in candidates:
        if (root / candidate).is_file():
            return candidate.as_posix()
    if not name.isascii():
        for candidate in candidates:
            if (found := _same_name(root, candidate)) is not None:
                return found
    return None


def _same_name(root: Path, path: PurePosixPath) -> str | None:
    """Return the file whose name is the same but for how its accents are written."""
    folder = root
    for part in path.parts:
        try:
            known = _names(str(folder), folder.stat().st_mtime_ns)
        except OSError:
            return None
        name = part if (folder / part).exists() else known.get(unicodedata.normalize("NFC", part))
        if name is None:
            return None
        folder = folder / name
    return folder.relative_to(root).as_posix() if folder.is_file() else None


@lru_cache(maxsize=1024)
def _names(folder: str, stamp: int) -> dict[str, str]:
    """Return composed name -> name of what is in a folder; names that no table can hold are left out.

    Args:
        folder: The folder.
        stamp: Its time of change, which identifies its content.
    """
    return {
        unicodedata.normalize("NFC", path.name): path.name for path in Path(folder).iterdir() if _is_text(path.name)
    }


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\udc80" <= character <= "\udcff" for character in name)
