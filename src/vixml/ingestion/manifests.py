"""Readers of the optional tables beside the raw files: the image manifest and the groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vixml.core.errors import DataError

SPLITS = ("trn", "tst", "lbl")


def read_images(
    root: Path, uids: Mapping[str, Sequence[str]], *, most: int
) -> tuple[dict[str, list[list[str]]], dict[str, int]]:
    """Read `images.parquet` or `images.csv` (columns split, uid, file); without one no item has an image.

    A file may be given relative to the raw root or to its folder `images`. A file that is not there stays in the list:
    the image bank reports it and treats it as absent.

    Args:
        root: Raw root.
        uids: The uids of each split, in raw order.
        most: Images of an item that are kept, the first of the manifest.

    Returns:
        For each split the images of every item, POSIX paths relative to `root`; and counts of what was left out.

    Raises:
        DataError: Unreadable, columns missing, an empty cell, an unknown split, or a path that leaves the raw root.
    """
    images: dict[str, list[list[str]]] = {split: [[] for _ in rows] for split, rows in uids.items()}
    counts = {
        "image_rows_without_item": 0,
        "duplicate_image_rows": 0,
        "images_beyond_limit": 0,
        "image_files_missing": 0,
    }
    file = _first_file(root, ("images.parquet", "images.csv", "images.csv.gz"))
    if file is None:
        return images, counts
    table = _read_table(file, ("split", "uid", "file"))
    rows_of = {split: {uid: row for row, uid in enumerate(rows)} for split, rows in uids.items()}
    _check_splits(file, table)
    located: dict[str, str] = {}
    for number, (split, uid, name) in enumerate(zip(table["split"], table["uid"], table["file"], strict=True), start=1):
        row = rows_of[split].get(uid) if split in rows_of else None
        if row is None:
            counts["image_rows_without_item"] += 1
            continue
        if name not in located:
            located[name], present = locate_image(root, file, number, name)
            counts["image_files_missing"] += not present
        kept = images[split][row]
        if located[name] in kept:
            counts["duplicate_image_rows"] += 1
        elif len(kept) >= most:
            counts["images_beyond_limit"] += 1
        else:
            kept.append(located[name])
    return images, counts


def read_groups(root: Path, split: str, uids: Sequence[str]) -> NDArray[np.int64] | None:
    """Read the groups of one split from `groups.csv` or `groups.csv.gz` (columns uid, split, group).

    Args:
        root: Raw root.
        split: `trn`, `tst` or `lbl`.
        uids: The uids of that split.

    Returns:
        int64 [n], equal numbers for items of one group; an item without a group is alone. None without a file.

    Raises:
        DataError: Unreadable, columns missing, an empty cell, or an unknown split.
    """
    file = _first_file(root, ("groups.csv.gz", "groups.csv"))
    if file is None:
        return None
    table = _read_table(file, ("uid", "split", "group"))
    _check_splits(file, table)
    chosen = table[table["split"] == split]
    codes = pd.factorize(chosen["group"])[0].tolist()
    group_of = dict(zip(chosen["uid"], codes, strict=True))
    alone = len(codes)  # above every code
    return np.array([group_of.get(uid, alone + row) for row, uid in enumerate(uids)], dtype=np.int64)


def _first_file(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def _read_table(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the columns of a Parquet or CSV table as texts."""
    listed = ", ".join(columns)
    try:
        table = (
            pd.read_parquet(file)
            if file.suffix == ".parquet"
            else pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        )
    except Exception as err:  # readers of damaged tables raise nearly anything
        raise DataError(
            "the table cannot be read",
            file=file,
            found=err,
            expected=f"Parquet or UTF-8 CSV with the columns {listed}",
            remedy="write the table again.",
        ) from err
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(
            f"the table has no column {', '.join(missing)}",
            file=file,
            found=", ".join(map(str, table.columns)),
            expected=f"columns {listed}",
            remedy="rename the columns.",
        )
    table = table[list(columns)]
    empty = np.argwhere((table.isna() | (table.astype(str) == "")).to_numpy())
    if len(empty):
        row, column = empty[0]
        raise DataError(
            f"the cell `{columns[column]}` is empty",
            file=file,
            line=_line(file, int(row) + 1),
            remedy="fill or remove it.",
        )
    return table.astype(str)


def _check_splits(file: Path, table: pd.DataFrame) -> None:
    unknown = np.flatnonzero(~table["split"].isin(SPLITS).to_numpy())
    if len(unknown):
        raise DataError(
            "the split is unknown",
            file=file,
            line=_line(file, int(unknown[0]) + 1),
            found=table["split"].iloc[int(unknown[0])],
            expected="trn, tst or lbl",
            remedy="correct the column `split`.",
        )


def _line(file: Path, row: int) -> int:
    """Return the line of 1-based row `row`: a CSV has a header, in Parquet the row itself is named."""
    return row if file.suffix == ".parquet" else row + 1


def locate_image(root: Path, manifest: Path, number: int, name: str) -> tuple[str, bool]:
    """Return an image's path relative to the raw root, and whether the file is there."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or not path.parts
    if unsafe or "\\" in name or "\0" in name or PureWindowsPath(name).drive:
        raise DataError(
            "the image path leaves the raw root",
            file=manifest,
            line=_line(manifest, number),
            found=name,
            expected="a relative path with forward slashes and without '..'",
            remedy="move the images below the raw root and write their relative paths.",
        )
    inside = PurePosixPath("images") / path
    for candidate in (path, inside):
        if (root / candidate).is_file():
            return candidate.as_posix(), True
    return (path if path.parts[0] == "images" else inside).as_posix(), False
