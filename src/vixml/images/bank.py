"""The image bank: one frozen vector for every DIFFERENT image of the catalogue, and which item shows which.

A bank is a folder: `vectors.npy` float16 [U, D], and for each side `{side}_rows.npy` (bank rows of all its images,
int64) with `{side}_offsets.npy` (where each item's rows begin, int64). Files are compared by content, so an image that
many items share is encoded once. An image that cannot be read is counted, reported, and treated as absent.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.directories import Built, WorkDirectory
from vixml.core.errors import DataError, StateError
from vixml.core.storage import reserve
from vixml.data.dataset import Dataset
from vixml.data.items import items_fingerprint
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.data.sides import Side
from vixml.distributed import group
from vixml.distributed.job import run_in_ranks
from vixml.distributed.launch import Machines
from vixml.distributed.machines import processes_on
from vixml.images.decode import REASONS
from vixml.images.precomputed import collect_rows, is_reference
from vixml.images.shards import EncodedFiles, encode_files
from vixml.params.data.vision import VisionParams

if TYPE_CHECKING:
    import pandas as pd

    from vixml.images.vision import VisionEncoder

KIND = "image-bank"
_LISTED = 20


@dataclass(frozen=True)
class ImageBank:
    """Read-only view of a bank.

    Args:
        path: Its folder.
        vectors: float16 [U, D], a memory map.
    """

    path: Path
    vectors: NDArray[np.float16]

    @classmethod
    def open(cls, path: Path) -> ImageBank:
        """Open the bank in folder `path`.

        Raises:
            StateError: It does not exist.
        """
        return cls(path, _load(path / "vectors.npy", mmap=True))

    @property
    def dim(self) -> int:
        """Width D of a vector."""
        return int(self.vectors.shape[1])

    def images_of(self, side: str) -> RaggedArray:
        """Return the bank rows of each item of `side` (train, validation, test, label), int64 and ragged.

        Raises:
            StateError: The bank was built without this side.
        """
        return RaggedArray(_load(self.path / f"{side}_rows.npy"), _load(self.path / f"{side}_offsets.npy"))

    def slots(self, side: str, max_images: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the padded view of a small side, for tests and inference; training reads the ragged rows.

        Args:
            side: Name of the side, n items.
            max_images: Slots S of an item; later images are left out.

        Returns:
            float32 [n, S, D], zero where there is no image, and mask int64 [n, S], 1 where there is one.
        """
        images = self.images_of(side).truncate(max_images)
        mask = np.arange(max_images) < images.lengths[:, None]
        slots = np.zeros((len(images), max_images, self.dim), dtype=np.float32)
        slots[mask] = self.vectors[images.values]
        return slots, mask.astype(np.int64)


def build_image_bank(
    root: Path,
    items: Mapping[str, pd.DataFrame],
    params: VisionParams,
    seed: int,
    work: WorkDirectory,
    *,
    encoder: VisionEncoder | None = None,
) -> Built:
    """Encode all images that the items show, or copy their pre-computed embeddings.

    Args:
        root: Folder that the image paths are relative to; no path may leave it.
        items: Side -> items with a column `images` of path lists.
        params: Vision model and bank settings.
        seed: Seed of the tiny model.
        work: Holds the finished shards: a killed run continues, an unchanged one encodes nothing.
        encoder: Use this encoder instead of loading the one that `params` names.

    Returns:
        The bank folder with the report in its meta data. A catalogue without any image gives a bank of no rows.

    Raises:
        ConfigError: The vision model cannot be loaded.
        DataError: There are images, but not one of them could be read.
    """
    began = time.perf_counter()
    files, sides = _list_files(items)
    encoded = EncodedFiles.none()
    if files:
        if is_reference(files[0]):
            encoded = collect_rows(root, files, params)
        else:
            if encoder is None:
                from vixml.images.vision import load_vision

                encoder = load_vision(params, seed)
            encoded = encode_files(root, files, params, encoder, work.path / "shards")
    if files and encoded.num_vectors == 0:
        raise _none_read(root, encoded)
    if not group.leads():  # one of several ranks: it has encoded its share
        return Built(work.path, KIND)
    folder = work.fresh("bank")
    _write_vectors(folder / "vectors.npy", encoded)
    without = {side: _write_side(folder, side, encoded.row[codes], counts) for side, (codes, counts) in sides.items()}
    facts = {"model": params.model, "dim": encoded.dim}
    meta: dict[str, Any] = {
        **facts,
        "num_images": encoded.num_vectors,
        # what a prediction needs to encode further images alike, and to find the pictures of labels
        "vision": params.model_dump(mode="json", exclude={"processes"}),
        "seed": seed,
        "root": str(root.resolve()),
        "report": _report(files, encoded, without, seconds=time.perf_counter() - began) | facts,
    }
    meta["items"] = {side: items_fingerprint(table) for side, table in items.items()}
    return Built(path=folder, kind=KIND, meta=meta)


def _none_read(root: Path, encoded: EncodedFiles) -> DataError:
    reasons = Counter(REASONS[code] for code in encoded.reason)
    return DataError(
        "not one of the images could be read",
        file=root,
        found=", ".join(f"{count} {reason}" for reason, count in reasons.most_common()),
        expected="image files at the paths that the image manifest names, relative to this folder",
    )


def bank_of_dataset(raw: Path, dataset: Dataset, params: VisionParams, seed: int, work: WorkDirectory) -> Built:
    """Build the image bank of an ingested data set, in as many processes as `params.processes` says.

    Args:
        raw: Folder that the image paths are relative to.
        dataset: The data set.
        params: Vision model and bank settings.
        seed: Seed of the tiny model.
        work: As for `build_image_bank`.
    """
    processes = processes_on(params.device, params.processes, "vision")
    if processes > 1 and not group.is_divided():
        given = {"raw": raw, "dataset": dataset, "params": params, "seed": seed, "work": work}
        folder, machines = work.path / "bank.ranks", Machines(processes)
        built: Built = run_in_ranks("vixml.images.bank:bank_of_dataset", given, folder=folder, machines=machines)
        return built
    return build_image_bank(raw, {side: dataset.items(side) for side in Side}, params, seed, work)


def _list_files(
    items: Mapping[str, pd.DataFrame],
) -> tuple[list[str], dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
    """Return the different paths in order of appearance, and per side the path codes and the images per item."""
    import pandas as pd

    paths: list[str] = []
    counts = {}
    for side, table in items.items():
        lists = [list(files) for files in table["images"]]
        counts[side] = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        paths.extend(file for files in lists for file in files)
    codes, different = pd.factorize(np.array(paths, dtype=object))
    cuts = np.cumsum([int(count.sum()) for count in counts.values()])[:-1]
    parts = np.split(codes.astype(np.int64), cuts) if counts else []
    return [str(path) for path in different], {
        side: (part, counts[side]) for side, part in zip(counts, parts, strict=True)
    }


def _write_vectors(file: Path, encoded: EncodedFiles) -> None:
    """Copy the vectors of all shards into one array, shard by shard."""
    shape = (encoded.num_vectors, encoded.dim)
    if encoded.num_vectors == 0:
        np.save(file, np.zeros(shape, dtype=np.float16))
        return
    target = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    reserve(file, file.stat().st_size)
    begin = 0
    for vectors in encoded.vectors():
        target[begin : begin + len(vectors)] = vectors
        begin += len(vectors)
    target.flush()


def _write_side(folder: Path, side: str, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Write which rows of the bank each item of a side shows; return how many items show none."""
    owner = np.repeat(np.arange(len(counts)), counts)
    lengths = np.bincount(owner[rows >= 0], minlength=len(counts))
    np.save(folder / f"{side}_rows.npy", rows[rows >= 0])
    np.save(folder / f"{side}_offsets.npy", offsets_of(lengths))
    return int((lengths == 0).sum())


def _report(files: list[str], encoded: EncodedFiles, without: dict[str, int], *, seconds: float) -> dict[str, Any]:
    failed = np.flatnonzero(encoded.reason)
    return {
        "images_referenced": len(files),
        "images_unique": encoded.num_vectors,
        "images_failed": len(failed),
        "failed_by_reason": dict(Counter(REASONS[code] for code in encoded.reason[failed])),
        "first_failed": [{"file": files[i], "reason": REASONS[encoded.reason[i]]} for i in failed[:_LISTED]],
        "items_without_image": without,
        "images_encoded_now": encoded.num_encoded,
        "seconds": round(seconds, 2),
        "images_per_second": round(encoded.num_encoded / encoded.seconds, 1) if encoded.num_encoded else 0.0,
    }


def _load(file: Path, *, mmap: bool = False) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(file, mmap_mode="r" if mmap else None, allow_pickle=False)
    except (OSError, ValueError) as err:
        raise StateError(
            "a part of the image bank is missing or damaged",
            file=file,
            found=str(err),
            remedy="run the image_embedding pipeline again.",
        ) from err
    return array
