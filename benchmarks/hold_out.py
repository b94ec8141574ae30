"""Hold labels out of a data set: raw files as if these labels did not exist yet, and the labels as a file to add later.

How a model trained on the reduced files ranks the held-out labels is the cold-start quality
(docs/how-to/new_labels.md).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import ConfigError, DataError
from vixml.core.seeding import numpy_generator
from vixml.data.sides import SHORT_NAMES, Side
from vixml.ingestion.benchmark.json_lines import read_filter, read_json_lines, read_side
from vixml.ingestion.benchmark.layouts import find_raw_file
from vixml.ingestion.manifests import read_images

HELD_OUT = "held_out_labels.jsonl"
"""File of the held-out labels in the new folder: id, text, images."""

_COPIED = ("images.parquet", "images.csv", "images.csv.gz", "groups.csv", "groups.csv.gz")
_MOST_IMAGES = 64


def hold_out_labels(
    raw: Path, target: Path, *, fraction: float, seed: int, with_content: bool = False
) -> dict[str, int]:
    """Write a raw folder without a random share of the labels that training queries have.

    Queries stay, with the labels that are left to them. Pictures are not copied: `images` is linked.

    Args:
        raw: Folder of raw files in the benchmark's format.
        target: New folder.
        fraction: Share of the trained labels to hold out, between 0 and 1.
        seed: Root seed.
        with_content: Whether the held-out labels' text is title and content, as `data.text_fields` has it.

    Returns:
        Numbers of labels and of training and test pairs held out.

    Raises:
        ConfigError: The fraction leaves no label on one of the sides.
        DataError: A raw file is missing or malformed, or the new folder is not empty.
    """
    if target.exists() and any(target.iterdir()):
        raise DataError("the folder for the reduced files is not empty", file=target, remedy="name a new one.")
    labels = read_side(find_raw_file(raw, Side.LABEL), with_targets=False)
    points = {side: read_side(find_raw_file(raw, side), with_targets=True) for side in (Side.TRAIN, Side.TEST)}
    trained = np.unique(points[Side.TRAIN].targets)
    count = round(fraction * len(trained))
    if not 0 < count < len(trained):
        raise ConfigError("the fraction holds out no label or every label", found=fraction, expected="0 < fraction < 1")
    held = np.zeros(len(labels), dtype=bool)
    held[numpy_generator(seed, "cold start").choice(trained, count, replace=False)] = True
    new_row = np.where(held, -1, np.cumsum(~held) - 1)

    target.mkdir(parents=True, exist_ok=True)
    file = find_raw_file(raw, Side.LABEL)
    write_json_lines(
        target / f"{SHORT_NAMES[Side.LABEL]}.json.gz", (line for row, line in enumerate(_items(file)) if not held[row])
    )
    for side, queries in points.items():
        reduced = (_without(line, new_row) for line in _items(find_raw_file(raw, side)))
        write_json_lines(target / f"{SHORT_NAMES[side]}.json.gz", reduced)
        name = f"filter_labels_{side}.txt"
        if (raw / name).is_file():
            pairs, _ = read_filter(raw / name, len(queries), len(labels))
            rows, columns = pairs.nonzero()
            kept = ~held[columns]
            table = np.stack([rows[kept], new_row[columns[kept]]], axis=1)
            np.savetxt(target / name, table, fmt="%d")
    for name in _COPIED:
        if (raw / name).is_file():
            _copy_without(raw / name, target / name, {labels.uids[row] for row in np.flatnonzero(held)})
    if (raw / "images").is_dir():
        (target / "images").symlink_to((raw / "images").resolve(), target_is_directory=True)
    images, _ = read_images(raw, {Side.LABEL: labels.uids}, most=_MOST_IMAGES)
    with (target / HELD_OUT).open("w", encoding="utf-8") as stream:
        for row in np.flatnonzero(held):
            text = f"{labels.titles[row]} {labels.contents[row]}" if with_content else labels.titles[row]
            item = {"id": labels.uids[row], "text": " ".join(text.split()), "images": images[Side.LABEL][row]}
            stream.write(json.dumps(item, ensure_ascii=False) + "\n")
    return {
        "labels": len(labels),
        "labels_held_out": count,
        "train_pairs_held_out": int(held[points[Side.TRAIN].targets].sum()),
        "test_pairs_held_out": int(held[points[Side.TEST].targets].sum()),
    }


def _copy_without(source: Path, target: Path, held: set[str]) -> None:
    """Copy a manifest or groups without the rows of held-out labels, whose items are not there any more."""
    import pandas as pd

    is_parquet = source.suffix == ".parquet"
    table = pd.read_parquet(source) if is_parquet else pd.read_csv(source, dtype=str, na_filter=False)
    if {"split", "uid"} <= set(table.columns):
        table = table[~((table["split"] == SHORT_NAMES[Side.LABEL]) & table["uid"].astype(str).isin(held))]
    table.to_parquet(target, index=False) if is_parquet else table.to_csv(target, index=False)


def _items(file: Path) -> Iterator[dict[str, Any]]:
    return (item for _, item in read_json_lines(file))


def _without(item: dict[str, Any], new_row: NDArray[np.int64]) -> dict[str, Any]:
    """Return a point with the labels that are left, at their new rows."""
    pairs = zip(item["target_ind"], item["target_rel"], strict=True)
    left = [(int(new_row[label]), value) for label, value in pairs if new_row[label] >= 0]
    return {**item, "target_ind": [label for label, _ in left], "target_rel": [value for _, value in left]}


def write_json_lines(file: Path, items: Iterable[dict[str, Any]]) -> None:
    with gzip.open(file, "wt", encoding="utf-8", compresslevel=3) as stream:
        for item in items:
            stream.write(json.dumps(item, ensure_ascii=False) + "\n")
