"""Whether a predictor's folder holds what a predictor holds: the files that were sealed, and whole tables of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vixml.core.directories import MANIFEST, SealedDirectory
from vixml.core.errors import StateError
from vixml.core.guards.untrusted import REMEDY, HeldTable

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

ITEM_COLUMNS = {"uid": "text", "text": "text", "images": "texts"}
LABEL_COLUMNS = {"trained_row": "number", "frequency": "number"}
"""Columns of the tables, see `HeldTable`."""


def check_complete(sealed: SealedDirectory) -> None:
    """Make sure that the folder holds no file besides those that were sealed: a library might open one of them.

    Raises:
        StateError: There is one; it is named. Hidden files are skipped.
    """
    for path in sealed.path.rglob("*"):
        name = path.relative_to(sealed.path)
        if path.is_dir() and not path.is_symlink():
            continue
        if name.as_posix() not in sealed.files and name.as_posix() != MANIFEST and not name.name.startswith("."):
            raise StateError("the file is not part of the predictor", file=path, remedy="remove it, or " + REMEDY)


def read_items(table: HeldTable, file: Path, needed: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a table of items.

    Args:
        table: The table, held open.
        file: Its file, for messages.
        needed: Columns needed besides uid, text and images.

    Raises:
        StateError: A column is missing, or the table is damaged.
    """
    import pandas as pd

    missing = [name for name in (*ITEM_COLUMNS, *needed) if name not in table.names]
    if missing:
        raise StateError("a column is missing", file=file, found=", ".join(table.names), expected=", ".join(missing))
    columns = table.read()
    return pd.DataFrame({**columns, "images": [np.array(files, dtype=object) for files in columns["images"]]})
