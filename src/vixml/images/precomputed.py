"""The authors' pre-computed image embeddings: which rows belong to which item, and the rows themselves for the bank.

The files: `{trn,tst,lbl}_embs_imgs_3_1152_siglip2.npy`, float32, one row an image, with
`{train,test,labels}_imgs_384_3_map.npy`, see `row_map`. Ingestion writes an image of an item as `FILE.npy#ROW`; the
image bank copies the rows that items name, in the order of the files, block by block through a memory map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import ConfigError, DataError
from vixml.core.progress import progress
from vixml.data.sides import SHORT_NAMES, Side
from vixml.images.row_map import read_row_map
from vixml.images.shards import EncodedFiles, half
from vixml.params.data.vision import TINY, VisionParams

_REFERENCE = re.compile(r"(?P<file>.+\.npy)#(?P<row>\d{1,15})", flags=re.DOTALL)
_BLOCK = 8192  # rows copied at once
_TYPES = ("float16", "float32")


def is_reference(image: str) -> bool:
    """Return whether an item's image is a row of an array, and not a file."""
    return _REFERENCE.fullmatch(image) is not None


def read_embedding_rows(
    raw: Path, folder: str, num_items: Mapping[Side, int], *, most: int
) -> tuple[dict[Side, list[list[str]]], dict[str, int]]:
    """Return the image references of every item, instead of what an image manifest says.

    Args:
        raw: Raw folder.
        folder: Folder of the embeddings and maps, relative to `raw`; `.` is `raw` itself.
        num_items: Training, test, labels -> number of items.
        most: Images of an item that are kept, the first of its list.

    Returns:
        For each side the references of every item, and counts of what was left out.

    Raises:
        DataError: A file is missing, there twice, malformed, or contradicts another one.
    """
    place = PurePosixPath(folder)
    if place.is_absolute() or ".." in place.parts:
        raise DataError(
            "the image embeddings are outside the raw folder",
            file=raw,
            found=folder,
            expected="a folder below it, or `.`",
            remedy="move or link the files into the raw folder.",
        )
    images: dict[Side, list[list[str]]] = {}
    counts = {"images_beyond_limit": 0, "image_embeddings_without_item": 0}
    widths: dict[int, Path] = {}
    for side, count in num_items.items():
        array_file = _only(raw / place, f"{SHORT_NAMES[side]}_embs_imgs_*.npy")
        array = open_embeddings(array_file)
        widths.setdefault(array.shape[1], array_file)
        name = "labels" if side == Side.LABEL else side
        rows = read_row_map(_only(raw / place, f"{name}_imgs_*_map.npy"), num_items=count, num_rows=len(array))
        kept = rows.truncate(most)
        counts["images_beyond_limit"] += len(rows.values) - len(kept.values)
        counts["image_embeddings_without_item"] += len(array) - len(np.unique(rows.values))
        prefix = (place / array_file.name).as_posix()
        names = [f"{prefix}#{row}" for row in kept.values.tolist()]
        bounds = kept.offsets.tolist()
        images[side] = [names[begin:end] for begin, end in pairwise(bounds)]
    if len(widths) > 1:
        raise DataError(
            "the image embeddings of the sides differ in width",
            file=raw / place,
            found=", ".join(f"{file.name}: {width}" for width, file in widths.items()),
            expected="one vision model for all",
        )
    return images, counts


def open_embeddings(file: Path) -> NDArray[Any]:
    """Return an array of embeddings as a memory map, float32 or float16 [rows, width].

    Raises:
        DataError: It is not valid.
    """
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        found = f"{array.dtype} {array.shape}"
        valid = array.ndim == 2 and array.shape[1] > 0 and array.dtype.name in _TYPES
    except Exception as err:  # numpy raises nearly anything on a damaged header
        raise _no_embeddings(file, err) from err
    if not valid:
        raise _no_embeddings(file, found)
    return array


@dataclass
class EmbeddingRows(EncodedFiles):
    """Rows of arrays in place of encoded image files.

    Args:
        parts: Array files with the rows taken of each, ascending int64.
    """

    parts: list[tuple[Path, NDArray[np.int64]]] = field(default_factory=list)

    def vectors(self) -> Iterator[NDArray[np.float16]]:
        """Yield the rows in blocks, float16 [n, dim].

        Raises:
            DataError: A row that is not finite.
        """
        with progress(desc="copying image embeddings", total=self.num_vectors, unit="img") as bar:
            for file, rows in self.parts:
                array = open_embeddings(file)
                for begin in range(0, len(rows), _BLOCK):
                    chosen = rows[begin : begin + _BLOCK]
                    block = np.asarray(array[chosen], dtype=np.float32)
                    wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
                    if len(wrong):
                        raise _no_embeddings(file, f"NaN or infinity in row {chosen[wrong[0]]}")
                    yield half(block)
                    bar.update(len(block))


def collect_rows(root: Path, images: Sequence[str], params: VisionParams) -> EmbeddingRows:
    """Return the rows that the references name, each once, in the order of their files.

    Args:
        root: Folder that the references are relative to.
        images: Different references.
        params: Must name the model that made the embeddings: a prediction encodes new images with it.

    Raises:
        ConfigError: It names the tiny model, which made no embeddings, or one of another width.
        DataError: An array is missing or malformed, or has no such row.
    """
    matches = [_REFERENCE.fullmatch(image) for image in images]
    if not all(matches):
        raise DataError("image files and rows of embeddings are mixed", file=root, expected="one or the other")
    files = list(dict.fromkeys(match["file"] for match in matches if match))
    code_of = {file: code for code, file in enumerate(files)}
    codes = np.array([code_of[match["file"]] for match in matches if match], dtype=np.int64)
    rows = np.array([int(match["row"]) for match in matches if match], dtype=np.int64)
    order = np.lexsort((rows, codes))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    parts, dims = [], set()
    for code, file in enumerate(files):
        array, chosen = open_embeddings(root / file), np.sort(rows[codes == code])
        if chosen[-1] >= len(array):
            raise _no_embeddings(root / file, f"{len(array)} rows, of which row {chosen[-1]} is asked for")
        dims.add(array.shape[1])
        parts.append((root / file, chosen))
    dim = dims.pop()
    if dims:
        raise _no_embeddings(root, f"widths {dim} and {dims.pop()}")
    _check_model(params, dim)
    reason = np.zeros(len(images), dtype=np.uint8)
    return EmbeddingRows(row=place, reason=reason, dim=dim, num_vectors=len(images), parts=parts)


def _check_model(params: VisionParams, dim: int) -> None:
    """Make sure that new images can be encoded like these, as far as that is known without loading the model."""
    known = None
    if params.model != TINY and ":" not in params.model:
        import open_clip

        known = (open_clip.get_model_config(params.model.replace("/", "-")) or {}).get("embed_dim")
    if params.model == TINY or known not in (None, dim):
        raise ConfigError(
            "`vision.model` is not the model that made the image embeddings",
            found=f"{params.model}; the embeddings have a width of {dim}",
            expected="the model itself: predictions encode new images with it",
            remedy="for the authors' SigLIP2: vision.model=ViT-SO400M-14-SigLIP2-378, vision.pretrained=webli.",
        )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise DataError(
            "a file of image embeddings is missing" if not found else "there are several files of image embeddings",
            file=folder,
            found=", ".join(file.name for file in found) or "none",
            expected=f"one {pattern}",
            remedy="see docs/how-to/official_data.md for the files; `data.image_embeddings: null` goes without them.",
        )
    return found[0]


def _no_embeddings(file: Path, found: object) -> DataError:
    return DataError(
        "the array is not one of image embeddings",
        file=file,
        found=found,
        expected="float32 or float16 [images, width], every number finite",
        remedy="download the file again; it must belong to the same release as the map.",
    )
