"""Whether a folder holds a benchmark as it is published, by the names of its files and what is in them.

`vixml init-data` asks this first: read as tables, a benchmark would lose the texts of its labels, images and filters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vixml.core.errors import DataError, shown
from vixml.data.sides import SHORT_NAMES, Side
from vixml.ingestion.benchmark.json_lines import read_json_lines
from vixml.ingestion.benchmark.layouts import (
    find_file,
    find_json,
    find_raw_file,
    find_text_lines,
    find_texts,
    layout_of,
)

TARGETS = "target_ind"
"""Field of a benchmark's points: 0-based lines of its label file."""

_OF_TABLES = "for tables of your own name their columns: --query-text COLUMN --query-labels COLUMN"
_SHOWN = 5
_IN_PLACES = {
    "pairs": ("trn_X_Y.txt", "tst_X_Y.txt"),
    "filters": ("filter_labels_train.txt", "filter_labels_test.txt"),
}
"""What may be beside the texts, or in the folders of `layouts.FOLDERS`."""
_AT_TOP = {
    "images": ("images.parquet", "images.csv", "images.csv.gz"),
    "addresses of images": ("img_urls.parquet", "img_urls.csv", "img.urls.txt"),
    "groups of near-duplicates": ("groups.csv.gz", "groups.csv"),
}
"""What is only read from the top of the folder; of several the first."""


def is_benchmark(folder: Path) -> bool:
    """Tell whether a folder holds a benchmark in one of the layouts of `layouts`.

    Own tables may be called alike (`train.json`, `test.json`, `label.json`), so that JSON lines count by their fields.

    Raises:
        DataError: A part of a benchmark is missing, or the benchmarks are in sub-folders of the folder.
    """
    if not folder.is_dir():
        return False
    if any(_has_targets(folder, side) for side in (Side.TRAIN, Side.TEST)):
        for side in SHORT_NAMES:
            find_raw_file(folder, side)  # says which is missing
        return True
    texts = [side for side in SHORT_NAMES if find_texts(folder, side)]
    if len(texts) > 1 or find_file(folder, _IN_PLACES["pairs"]):
        for side in SHORT_NAMES:
            find_text_lines(folder, side)
        return True
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_targets(path, Side.TRAIN)]
    if inside:
        names = ", ".join(shown(path.name) for path in inside[:_SHOWN])
        raise DataError(
            "the benchmarks are in folders of this folder",
            file=folder,
            found=names,
            expected="one benchmark",
            remedy=f"name one: vixml init-data {shown(str(inside[0]))}",
        )
    return False


def describe_benchmark(folder: Path) -> list[tuple[str, str, str]]:
    """Return how a benchmark is read as rows to print: what, file, what changes it."""
    layout = layout_of(folder)
    kind = "JSON lines" if layout == "json" else "text lines and matrices"
    rows = [("layout", f"a published benchmark, {kind}", _OF_TABLES)]
    find = find_json if layout == "json" else find_texts
    for what, side in (("training queries", Side.TRAIN), ("test queries", Side.TEST), ("labels", Side.LABEL)):
        rows.append((what, _name(folder, find(folder, side)), ""))
    if layout == "json":
        rows.append(("pairs", f"{TARGETS}, the lines of the labels", ""))
    for what, names in _IN_PLACES.items():
        found = [_name(folder, file) for name in names if (file := find_file(folder, (name,)))]
        rows += [(what, ", ".join(found), "")] if found else []
    for what in _AT_TOP:
        first = _at_top(folder, what)
        rows += [(what, first or "(none)", "")] if first or what == "images" else []
    arrays = sorted({_name(folder, file.parent) for file in folder.rglob("*embs*.npy")})
    if arrays:
        option = "data.image_embeddings and vision.model, see docs/how-to/official_data.md"
        rows.append(("image embeddings", f"NOT USED, in {', '.join(arrays)}", option))
    return rows


def awaits_images(folder: Path) -> bool:
    """Tell whether a benchmark names addresses of images that were not downloaded yet."""
    return bool(_at_top(folder, "addresses of images")) and not _at_top(folder, "images")


def _at_top(folder: Path, what: str) -> str | None:
    return next((name for name in _AT_TOP[what] if (folder / name).is_file()), None)


def labels_missing(file: Path) -> DataError:
    """Return the error that says why labels must not be called by the numbers of a benchmark's lines."""
    return DataError(
        f"`{TARGETS}` holds lines of a label file, which was not found",
        file=file,
        expected="a published benchmark: trn.json.gz, tst.json.gz and lbl.json.gz (or .json) in one folder",
        remedy=f"call the files so; where each number is a label of its own, pass --query-labels {TARGETS}.",
    )


def _has_targets(folder: Path, side: Side) -> bool:
    file = find_json(folder, side)
    if file is None:
        return False
    try:
        first: dict[str, Any] = next((item for _, item in read_json_lines(file)), {})
    except DataError:  # a JSON list or prose: tables are read by another reader, which says what is wrong
        return False
    return TARGETS in first


def _name(folder: Path, file: Path | None) -> str:
    return "(none)" if file is None else shown(file.relative_to(folder).as_posix())
