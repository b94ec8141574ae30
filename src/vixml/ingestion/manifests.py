"""Readers of the optional tables beside the raw files: the image manifest and the groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.data.ids import IdIndex
from vixml.data.sides import SHORT_NAMES, Side
from vixml.images.names import find_image
from vixml.ingestion.ledger import Ledger
from vixml.ingestion.tables.account import account_table
from vixml.ingestion.tables.files import read_table
from vixml.ingestion.tables.table import Table


def read_images(
    root: Path, uids: Mapping[Side, Sequence[str]], *, most: int, ledger: Ledger | None = None
) -> tuple[dict[Side, list[list[str]]], dict[str, int]]:
    """Read `images.parquet` or `images.csv` (columns split, uid, file); without one no item has an image.

    A file may be given relative to the raw root or to its folder `images`. A file that is not there stays in the list:
    the image bank reports it and treats it as absent.

    Args:
        root: Raw root.
        uids: The uids of each side, in raw order.
        most: Images of an item that are kept, the first of the manifest.
        ledger: Gets what the manifest holds.

    Returns:
        For each side the images of every item, POSIX paths relative to `root`; and counts of what was left out.

    Raises:
        DataError: Unreadable, columns missing, an empty cell, an unknown split, or a path that leaves the raw root.
    """
    images: dict[Side, list[list[str]]] = {side: [[] for _ in rows] for side, rows in uids.items()}
    counts = {
        "image_rows_without_item": 0,
        "duplicate_image_rows": 0,
        "images_beyond_limit": 0,
        "image_files_missing": 0,
    }
    file = _first_file(root, ("images.parquet", "images.csv", "images.csv.gz"))
    if file is None:
        return images, counts
    table, (sides, owners, names) = _read_columns(file, ("split", "uid", "file"))
    entry = (ledger or Ledger(root)).entry(file)
    account_table(entry, table, ("split", "uid", "file"))
    rows_of = {side: IdIndex({uid: row for row, uid in enumerate(rows)}) for side, rows in uids.items()}
    located: dict[str, str] = {}
    for number, (side, uid, name) in enumerate(zip(_sides(table, sides), owners, names, strict=True)):
        row = rows_of[side].find(uid) if side in rows_of else None
        if row is None:
            counts["image_rows_without_item"] += 1
            entry.move("of an unknown item", 1)
            continue
        if name not in located:
            located[name], present = locate_image(root, table, number, name)
            counts["image_files_missing"] += not present
        kept = images[side][row]
        if located[name] in kept:
            counts["duplicate_image_rows"] += 1
            entry.move("listed again", 1)
        elif len(kept) >= most:
            counts["images_beyond_limit"] += 1
            entry.move("beyond data.max_images_per_item", 1)
        else:
            kept.append(located[name])
    return images, counts


def read_groups(
    root: Path, side: Side, uids: Sequence[str], *, ledger: Ledger | None = None
) -> NDArray[np.int64] | None:
    """Read the groups of one side from `groups.csv` or `groups.csv.gz` (columns uid, split, group).

    Args:
        root: Raw root.
        side: Which one.
        uids: Its uids.
        ledger: Gets what the file holds.

    Returns:
        int64 [n], equal numbers for items of one group; an item without a group is alone. None without a file.

    Raises:
        DataError: Unreadable, columns missing, an empty cell, or an unknown split.
    """
    file = _first_file(root, ("groups.csv.gz", "groups.csv"))
    if file is None:
        return None
    table, (owners, splits, groups) = _read_columns(file, ("uid", "split", "group"))
    entry = (ledger or Ledger(root)).entry(file)
    account_table(entry, table, ("uid", "split", "group"))
    codes: dict[str, int] = {}
    row_of = IdIndex({uid: row for row, uid in enumerate(uids)})
    found = np.arange(len(uids)) + len(table)  # above every code: an item without a group is alone
    for uid, own, group in zip(owners, _sides(table, splits), groups, strict=True):
        row = row_of.find(uid) if own == side else None
        if row is not None:
            found[row] = codes.setdefault(group, len(codes))
        else:
            entry.move("of another split" if own != side else "of an unknown item", 1)
    return found.astype(np.int64)


def _first_file(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def _read_columns(file: Path, columns: tuple[str, ...]) -> tuple[Table, list[list[str]]]:
    """Read a table of which no cell of these columns is empty, and the columns as texts."""
    table, listed = read_table(file, may_be_empty=True), ", ".join(columns)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"the table has no column {', '.join(missing)}",
            file=file,
            found=", ".join(table.columns),
            expected=f"columns {listed}",
            remedy="rename the columns.",
        )
    cells = [table.ids(name) for name in columns]
    empty = [(column.index(""), name) for name, column in zip(columns, cells, strict=True) if "" in column]
    if empty:
        row, name = min(empty)
        raise DataError(f"the cell `{name}` is empty", **table.place(row), remedy="fill or remove it.")
    return table, cells


def _sides(table: Table, splits: Sequence[str]) -> list[Side]:
    side_of = {short: side for side, short in SHORT_NAMES.items()}
    unknown = next((row for row, split in enumerate(splits) if split not in side_of), None)
    if unknown is not None:
        raise DataError(
            "the split is unknown",
            **table.place(unknown),
            found=splits[unknown],
            expected="trn, tst or lbl",
            remedy="correct the column `split`.",
        )
    return [side_of[split] for split in splits]


def locate_image(root: Path, table: Table, row: int, name: str) -> tuple[str, bool]:
    """Return an image's path relative to the raw root, and whether the file is there.

    Args:
        root: Raw root.
        table: The table that names the image.
        row: Its row there, 0-based.
        name: The image's path, as a cell has it or relative to a folder of the table's.

    Raises:
        DataError: The path leaves the raw root.
    """
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or not path.parts
    if unsafe or "\\" in name or "\0" in name or PureWindowsPath(name).drive:
        raise DataError(
            "the image path leaves the raw root",
            **table.place(row),
            found=name,
            expected="a relative path with forward slashes and without '..'",
            remedy="move the images below the raw root and write their relative paths.",
        )
    found = find_image(root, name)
    if found is not None:
        return found, True
    return (path if path.parts[0] == "images" else PurePosixPath("images") / path).as_posix(), False
