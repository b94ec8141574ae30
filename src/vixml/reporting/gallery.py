"""Test queries with their pictures, and what each run predicts for them: the part of the report that one looks at."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vixml.core.seeding import numpy_generator
from vixml.images.decode import PictureError, decode, read_bytes
from vixml.params.comparison import ComparisonParams
from vixml.reporting.compare import TestSet, short_text
from vixml.reporting.selection import ChosenRun

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""Predictions of each run that the gallery shows."""

_TRUE = 12  # true labels named for a query
_PICTURES = 3  # pictures of a query
_PIXELS = 40_000_000
_QUALITY = 72


def build_gallery(
    chosen: Sequence[ChosenRun], data: TestSet, params: ComparisonParams, *, root: Path, seed: int
) -> dict[str, Any]:
    """Draw test queries and collect what the report shows of them.

    Every picture is stored once, however often it is shown. Pictures of queries come before pictures of labels, and of
    those the ones that are shown most often, until `picture_megabytes` is reached.

    Args:
        chosen: The compared runs.
        data: The test set.
        params: Number of queries, size of pictures.
        root: Folder of the raw files that the images' paths start from.
        seed: Root of the random numbers.

    Returns:
        `queries` (`uid`, `text`, `pictures`, `true` labels, their number `relevant`, `tops`: one list of [label, 1 if
        hit] a run), `labels` (`text`, `picture`), `pictures` (base64 of WebP), `omitted` (pictures that did not fit in
        or could not be read). Labels and pictures are positions in their lists; -1 is no picture.
    """
    count = min(params.gallery_queries, len(data.items))
    drawn = numpy_generator(seed, "gallery").choice(len(data.items), size=count, replace=False)
    rows = np.sort(drawn)
    queries = [_query(int(row), chosen, data) for row in rows]
    shown = Counter(label for query in queries for label in [*query["true"], *(pair[0] for pair in _pairs(query))])
    label_ids = list(shown)
    files = _files(queries, data, shown)
    pictures, omitted = _thumbnails(root, files, params)
    place = {file: position for position, file in enumerate(pictures)}
    position = {label: at for at, label in enumerate(label_ids)}
    for query in queries:
        query["pictures"] = [place[file] for file in query["pictures"] if file in place]
        query["true"] = [position[label] for label in query["true"]]
        query["tops"] = [[[position[label], hit] for label, hit in top] for top in query["tops"]]
    return {
        "queries": queries,
        "labels": [
            {"text": short_text(data.labels, label), "picture": next(_known(data.labels, label, place), -1)}
            for label in label_ids
        ],
        "pictures": list(pictures.values()),
        "omitted": omitted,
    }


def _query(row: int, chosen: Sequence[ChosenRun], data: TestSet) -> dict[str, Any]:
    true = data.relevance.indices[data.relevance.indptr[row] : data.relevance.indptr[row + 1]].tolist()
    known = set(true)
    return {
        "uid": str(data.items["uid"].iloc[row]),
        "text": short_text(data.items, row),
        "pictures": list(data.items["images"].iloc[row])[:_PICTURES],
        "true": true[:_TRUE],
        "relevant": len(true),
        "tops": [
            [(label, int(label in known)) for label in entry.run.labels[row, :SHOWN].tolist() if label >= 0]
            for entry in chosen
        ],
    }


def _pairs(query: dict[str, Any]) -> list[tuple[int, int]]:
    return [pair for top in query["tops"] for pair in top]


def _files(queries: Sequence[dict[str, Any]], data: TestSet, shown: Counter[int]) -> list[str]:
    """Return the image files in the order of their importance: first of each query, labels by use, the rest."""
    first = [query["pictures"][0] for query in queries if query["pictures"]]
    labels = [data.labels["images"].iloc[label][0] for label, _ in shown.most_common() if _has(data.labels, label)]
    rest = [file for query in queries for file in query["pictures"][1:]]
    return list(dict.fromkeys([*first, *labels, *rest]))


def _has(items: pd.DataFrame, row: int) -> bool:
    return len(items["images"].iloc[row]) > 0


def _known(items: pd.DataFrame, row: int, place: dict[str, int]) -> Any:
    return (place[file] for file in items["images"].iloc[row][:1] if file in place)


def _thumbnails(root: Path, files: Sequence[str], params: ComparisonParams) -> tuple[dict[str, str], int]:
    """Return file -> small WebP as base64, as many as fit, and how many files are left out."""
    room, root = int(params.picture_megabytes * 1_000_000), root.resolve()
    found: dict[str, str] = {}

    def small(file: str) -> str | None:
        return thumbnail(root, file, params.picture_pixels)

    with ThreadPoolExecutor(4) as pool:
        for begin in range(0, len(files), 64):
            part = files[begin : begin + 64]
            for file, picture in zip(part, pool.map(small, part), strict=True):
                if picture is None:
                    continue
                room -= len(picture)
                if room < 0:
                    return found, len(files) - len(found)
                found[file] = picture
    return found, len(files) - len(found)


def thumbnail(root: Path, file: str, pixels: int) -> str | None:
    """Return a picture as a small WebP in base64; None where it cannot be read.

    Args:
        root: Resolved folder that the file's path starts from and must not leave.
        file: Path of the picture.
        pixels: Most pixels of a side.
    """
    try:
        picture = decode(read_bytes(root, file), _PIXELS)
    except PictureError:
        return None
    picture.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(stream.getvalue()).decode("ascii")
