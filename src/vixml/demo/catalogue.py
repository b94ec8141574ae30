"""The demo catalogue, written as RAW files of the benchmark's format.

Titles name brand, category, often material and use, in one of several words each and among words that mean nothing;
colour, pattern and shape are only in the pictures. See `vixml.demo.world` for what makes a label relevant.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vixml.core.directories import Built, WorkDirectory
from vixml.core.progress import progress
from vixml.core.seeding import numpy_generator
from vixml.data.sides import SHORT_NAMES, Side
from vixml.demo.drawing import JITTER_WIDTH, draw_batch, encode_png
from vixml.demo.words import CATEGORIES, FILLERS, MATERIALS, USES, brand_names
from vixml.demo.world import Attributes, Points, World, build_world, draw_points
from vixml.params.data.ingestion import FabricationParams

_BATCH = 256
_FILES_PER_FOLDER = 1000


def fabricate(params: FabricationParams, seed: int, work: WorkDirectory) -> Built:
    """Write the demo catalogue; equal settings and seed give byte-identical files.

    Args:
        params: Sizes and shares.
        seed: Seed of every random stream.
        work: Private folder to write in.

    Returns:
        The raw folder, kind `raw-catalogue`.
    """
    folder = work.fresh("raw")
    world, points = draw_catalogue(params, seed)
    label_texts = _texts(world.labels, numpy_generator(seed, "texts", SHORT_NAMES[Side.LABEL]))
    label_uids = [f"L{row:06d}" for row in range(len(world.labels))]
    _write_json_lines(folder / "lbl.json.gz", _label_lines(label_uids, label_texts))
    label_images = _draw_images(folder, Side.LABEL, world.labels, label_uids, params, seed)
    manifest = _manifest(Side.LABEL, label_uids, label_images)
    for side, drawn in points.items():
        own, split = drawn.own_label, SHORT_NAMES[side]
        uids = [label_uids[label] if label >= 0 else f"{split}{row:06d}" for row, label in enumerate(own)]
        texts = _texts(drawn.attributes, numpy_generator(seed, "texts", split))
        texts = [label_texts[label] if label >= 0 else text for label, text in zip(own, texts, strict=True)]
        _write_json_lines(folder / f"{split}.json.gz", _point_lines(uids, texts, drawn))
        images = _draw_images(folder, side, drawn.attributes, uids, params, seed, skip=own >= 0)
        images = [label_images[label] if label >= 0 else files for label, files in zip(own, images, strict=True)]
        manifest += _manifest(side, uids, images)
        pairs = "".join(f"{row} {own[row]}\n" for row in np.flatnonzero(own >= 0))
        (folder / f"filter_labels_{side}.txt").write_text(pairs, encoding="utf-8")
    _write_manifest(folder / "images.parquet", manifest)
    meta = {"seed": seed, "params": params.model_dump(), "num_pictures": sum(len(files) for *_, files in manifest)}
    return Built(path=folder, kind="raw-catalogue", meta=meta)


def draw_catalogue(params: FabricationParams, seed: int) -> tuple[World, dict[Side, Points]]:
    """Return the catalogue as numbers: the label side, and the products of training and test."""
    world = build_world(params, numpy_generator(seed, "world"))
    shuffled = numpy_generator(seed, "reciprocal").permutation(params.num_labels)
    points, used = {}, 0
    for side, num_points in ((Side.TRAIN, params.num_train), (Side.TEST, params.num_test)):
        share = params.num_labels * num_points // (params.num_train + params.num_test)
        own = shuffled[used : used + min(round(params.reciprocal_share * num_points), share)]
        used += len(own)
        points[side] = draw_points(world, num_points, own, numpy_generator(seed, "points", SHORT_NAMES[side]))
    return world, points


def _texts(attributes: Attributes, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Return (title, content) of n products."""
    num = len(attributes)
    brand, category = np.divmod(attributes.family, len(CATEGORIES))
    names = [brand_names(number) for number in range(int(brand.max()) + 1)]
    word = rng.integers(0, 12, (num, 6)).tolist()  # 12 is a multiple of every number of synonyms
    fillers = rng.integers(0, len(FILLERS), (num, 5)).tolist()
    shown, order, digits = rng.random((num, 3)).tolist(), rng.integers(0, 4, num).tolist(), rng.integers(2, 99, num)
    out = []
    columns = (brand, category, attributes.use, attributes.material, digits)
    for row, (b, c, u, m, number) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        w, f = word[row], fillers[row]
        product = CATEGORIES[c][w[1] % 4]
        use = f"for {USES[u][w[2] % 3]}" if shown[row][0] < 0.6 else ""
        material = MATERIALS[m][w[3] % 3] if shown[row][1] < 0.5 else ""
        more = FILLERS[f[1]] if shown[row][2] < 0.6 else f"No. {number}"
        title = _arrange(order[row], names[b][w[0] % 3], FILLERS[f[0]], material, product, use, more)
        content = (
            f"{FILLERS[f[2]].capitalize()} and {FILLERS[f[3]]}, made of {MATERIALS[m][w[4] % 3]}, "
            f"for {USES[u][w[5] % 3]}; {FILLERS[f[4]]}."
        )
        out.append((title, content))
    return out


def _arrange(order: int, brand: str, filler: str, material: str, product: str, use: str, more: str) -> str:
    """Put the parts of a title in one of four orders."""
    parts = (
        (brand, filler, material, product, use, more),
        (filler, product, use, material, more, brand),
        (more, brand, product, material, filler, use),
        (material, product, filler, brand, more, use),
    )[order]
    return " ".join(part for part in parts if part)


def _label_lines(uids: list[str], texts: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for uid, (title, content) in zip(uids, texts, strict=True):
        yield {"uid": uid, "title": title, "content": content}


def _point_lines(uids: list[str], texts: list[tuple[str, str]], points: Points) -> Iterator[dict[str, Any]]:
    offsets, targets = points.offsets.tolist(), points.targets.tolist()
    for row, line in enumerate(_label_lines(uids, texts)):
        found = targets[offsets[row] : offsets[row + 1]]
        yield {**line, "target_ind": found, "target_rel": [1.0] * len(found)}


def _write_json_lines(file: Path, lines: Iterator[dict[str, Any]]) -> None:
    """Write gzipped JSON lines without a time stamp, so that equal content is equal bytes."""
    with file.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6) as stream:
        for line in lines:
            stream.write((json.dumps(line, ensure_ascii=False) + "\n").encode())


def _draw_images(
    folder: Path,
    side: Side,
    attributes: Attributes,
    uids: list[str],
    params: FabricationParams,
    seed: int,
    skip: NDArray[np.bool_] | None = None,
) -> list[list[str]]:
    """Draw the pictures of one side and return each product's files, relative to `folder`."""
    split = SHORT_NAMES[side]
    num, rng = len(attributes), numpy_generator(seed, "images", split)
    imageless = params.imageless_label_share if side == Side.LABEL else params.imageless_share
    counts = np.where(rng.random(num) < imageless, 0, rng.integers(1, params.max_images + 1, num))
    jitter = rng.random((int(counts.sum()), JITTER_WIDTH))
    owner = np.repeat(np.arange(num), counts)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    if skip is not None:
        kept = ~skip[owner]
        owner, index, jitter = owner[kept], index[kept], jitter[kept]
    files: list[list[str]] = [[] for _ in range(num)]
    for number in range(-(-num // _FILES_PER_FOLDER)):
        (folder / "images" / split / f"{number:04d}").mkdir(parents=True)
    for start in progress(range(0, len(owner), _BATCH), desc=f"drawing {split}", unit="batch"):
        rows = owner[start : start + _BATCH]
        pictures = draw_batch(
            colour=attributes.colour[rows],
            second=attributes.second[rows],
            pattern=attributes.pattern[rows],
            shape=attributes.shape[rows],
            jitter=jitter[start : start + _BATCH],
            pixels=params.image_pixels,
        )
        for picture, row, position in zip(pictures, rows.tolist(), index[start : start + _BATCH].tolist(), strict=True):
            file = f"images/{split}/{row // _FILES_PER_FOLDER:04d}/{uids[row]}_{position}.png"
            (folder / file).write_bytes(encode_png(picture))
            files[row].append(file)
    return files


def _manifest(side: Side, uids: list[str], images: list[list[str]]) -> list[tuple[str, str, int, list[str]]]:
    return [(SHORT_NAMES[side], uid, row, files) for row, (uid, files) in enumerate(zip(uids, images, strict=True))]


def _write_manifest(file: Path, manifest: list[tuple[str, str, int, list[str]]]) -> None:
    rows = [(split, uid, row, k, name) for split, uid, row, files in manifest for k, name in enumerate(files)]
    table = pd.DataFrame(rows, columns=["split", "uid", "row", "image_idx", "file"])
    table.astype({"row": "int64", "image_idx": "int64"}).to_parquet(file, index=False)
