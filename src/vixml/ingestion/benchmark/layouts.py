"""Where the files of a benchmark lie in its raw folder: the layouts in which the benchmarks are published.

`json`: `{trn,tst,lbl}.json.gz`, one JSON object a line (Extreme Classification Repository).
`sparse`: texts one a line in `*.raw.txt` and relevance in `{trn,tst}_X_Y.txt`. The texts are called `{trn,tst,lbl}`
beside the matrices, or `{train,test,label}` in `raw_data/` with `ID->TEXT` lines (MM-AmazonTitles-300K).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from vixml.core.errors import DataError
from vixml.data.sides import SHORT_NAMES, Side

FOLDERS = ("", "raw_data", "raw_text")
"""Where in the raw folder a file may lie."""

KNOWN = (
    "trn, tst and lbl as .json.gz or .json (one JSON object a line); or texts as .raw.txt (one a line) with "
    "trn_X_Y.txt and tst_X_Y.txt; both also in raw_data/ or raw_text/ and called train, test, label; or your own tables"
)
"""What a raw folder may hold, for errors."""


def find_file(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first file of one of these names in the raw folder or in `FOLDERS` of it, also with `.gz`."""
    names = list(names)
    places = (root / folder / f"{name}{packed}" for folder in FOLDERS for name in names for packed in (".gz", ""))
    return next((file for file in places if file.is_file()), None)


def find_json(root: Path, side: Side) -> Path | None:
    """Return the JSON lines of a side, called by its short or its long name; None where there are none."""
    return find_file(root, (f"{name}.json" for name in (SHORT_NAMES[side], side)))


def find_texts(root: Path, side: Side) -> Path | None:
    """Return the text lines of a side, called by its short or its long name; None where there are none."""
    return find_file(root, (f"{name}.raw.txt" for name in (SHORT_NAMES[side], side)))


def find_raw_file(root: Path, side: Side) -> Path:
    """Return the JSON lines of a side.

    Raises:
        DataError: It does not exist.
    """
    return find_json(root, side) or _missing(root, f"{SHORT_NAMES[side]}.json.gz or {SHORT_NAMES[side]}.json")


def find_text_lines(root: Path, side: Side) -> Path:
    """Return the text lines of a side.

    Raises:
        DataError: It does not exist.
    """
    return find_texts(root, side) or _missing(root, f"{SHORT_NAMES[side]}.raw.txt, or raw_data/{side}.raw.txt")


def find_matrix(root: Path, side: Side) -> Path:
    """Return the relevance matrix of training or test.

    Raises:
        DataError: It does not exist.
    """
    name = f"{SHORT_NAMES[side]}_X_Y.txt"
    return find_file(root, [name]) or _missing(root, f"{name} beside the texts")


def layout_of(root: Path) -> Literal["json", "sparse"]:
    """Return how the benchmark in the raw folder is laid out; JSON lines, which know more, win where both are there.

    Raises:
        DataError: Neither, or only a part of one.
    """
    for kind, find in (("json", find_json), ("sparse", find_texts)):
        if all(find(root, side) for side in SHORT_NAMES):
            return kind  # type: ignore[return-value]
    if any(find_texts(root, side) for side in SHORT_NAMES) and not any(find_json(root, side) for side in SHORT_NAMES):
        for side in SHORT_NAMES:
            find_text_lines(root, side)
    return "json"  # whatever is missing of it is named by the reader


def holds_benchmark(root: Path) -> bool:
    """Tell whether the folder has the labels of a benchmark in one of the layouts."""
    return find_json(root, Side.LABEL) is not None or find_texts(root, Side.LABEL) is not None


def _missing(root: Path, expected: str) -> Path:
    raise DataError(
        "a raw file is missing",
        file=root,
        expected=f"{expected}. Layouts known: {KNOWN}",
        remedy="check the data root; for your own tables run `vixml init-data FOLDER`, for the demo "
        "`kedro run --pipelines=fabrication`.",
    )
