"""Image maps as numpy writes them, and as it never would."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from vixml.images.row_map import read_row_map

PROTOCOLS = (2, 3, 4, 5)


def objects(entries: list[Any]) -> np.ndarray:
    """An object array with these entries, made as the authors make it: empty, then filled."""
    array = np.empty(len(entries), dtype=object)
    for place, entry in enumerate(entries):
        array[place] = entry
    return array


def header(length: int | str) -> bytes:
    shape = f"({length},)" if isinstance(length, int) else length
    stream = io.BytesIO()
    np.save(stream, np.empty(1, dtype=object), allow_pickle=True)
    text = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def written(payload: bytes, length: int = 1) -> bytes:
    return header(length) + payload


def saved(entries: list[Any], protocol: int = 4) -> bytes:
    return written(pickle.dumps(objects(entries), protocol=protocol), len(entries))


def read(tmp_path: Path, content: bytes, *, num_items: int = 1, num_rows: int = 100) -> list[list[int]]:
    (tmp_path / "train_imgs_384_3_map.npy").write_bytes(content)
    rows = read_row_map(tmp_path / "train_imgs_384_3_map.npy", num_items=num_items, num_rows=num_rows)
    assert rows.values.dtype == rows.offsets.dtype == np.int64
    return [rows.row(item).tolist() for item in range(len(rows))]


MIXED = [
    -1,
    [0, 1, 2],
    np.int64(-1),
    [np.int64(3), np.int32(4)],
    np.array([5, 6]),
    np.array([7], dtype=np.uint8),
    np.array([8, 9], dtype=">i4"),
    np.arange(10, 20)[::3],
    [],
    np.array([], dtype=np.int64),
    None,
    (20, 70_000),
    [2**31 + 5],
]
