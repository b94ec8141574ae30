"""Fuzzing: whatever bytes lie where the project reads its own files again, or a user's queries, errors are ours.

Bounded and repeatable as `tests/ingestion/test_fuzz.py`, whose ways to damage a file it uses.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from kedro.io import DatasetError

from vixml.core.directories import MANIFEST, Built, open_sealed, publish
from vixml.core.errors import VixmlError, user_error
from vixml.data.items import read_items
from vixml.data.matrix import read_matrix
from vixml.datasets import JSONDocumentDataset, JSONLinesDataset
from vixml.serving.query_files import query_blocks
from vixml.tracking.record import RunRecords
from vixml.training.curve import Curve

_SPEC = importlib.util.spec_from_file_location("fuzz", Path(__file__).parents[1] / "ingestion" / "test_fuzz.py")
fuzzing = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzzing)

QUERIES = [{"id": 1, "text": "red", "images": ["a.png"]}, {"id": 2, "text": "blue", "images": []}]


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def npz(save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, indptr=np.array([0, 1, 3]), indices=np.array([2, 0, 1], dtype=np.int32), shape=np.array([2, 4]))
    return buffer.getvalue()


def sealed(file: Path) -> Any:
    """Open a directory whose manifest is `file`."""
    folder = file.parent / "sealed"
    shutil.rmtree(folder, ignore_errors=True)
    built = file.parent / "built"
    built.mkdir()
    (built / "a.txt").write_text("a")
    publish(Built(built, "model", {"x": 1}), folder)
    shutil.copy(file, folder / MANIFEST)
    return open_sealed(folder)


READERS: dict[str, tuple[list[bytes], Callable[[Path], Any]]] = {
    "f.npz": ([npz(np.savez), npz(np.savez_compressed)], read_matrix),
    "f.parquet": ([parquet(pd.DataFrame(QUERIES))], read_items),
    "f.json": ([b'{"a": [1, {"b": null}]}'], lambda f: JSONDocumentDataset(filepath=str(f)).load()),
    "f.jsonl": ([b'{"step": 1}\n{"step": 2}\n'], lambda f: JSONLinesDataset(filepath=str(f)).load()),
    "curve.jsonl": ([b'{"step": 1}\n{"step": 2}\n'], lambda f: Curve(f).rewind(1)),
    "records.json": ([b'{"runs": [{"key": "a", "name": "b", "params": {}}]}'], lambda f: RunRecords(f).read()),
    "manifest.json": ([b'{"kind": "model", "meta": {}, "files": {}, "seal": "0"}'], sealed),
    "q.csv": ([b'id,text,images\n1,red,"a.png|b.png"\n2,blue,\n'], lambda f: list(query_blocks(f, 2))),
    "q.csv.gz": ([gzip.compress(b"id,text\n1,red\n2,blue\n", mtime=0)], lambda f: list(query_blocks(f, 2))),
    "q.jsonl": (["".join(json.dumps(q) + "\n" for q in QUERIES).encode()], lambda f: list(query_blocks(f, 2))),
    "q.json": ([json.dumps(QUERIES).encode()], lambda f: list(query_blocks(f, 2))),
    "q.parquet": ([parquet(pd.DataFrame(QUERIES))], lambda f: list(query_blocks(f, 2))),
}
fuzzing.VALID.update({name: valid for name, (valid, _) in READERS.items()})


@pytest.mark.parametrize("name", READERS)
def test_only_errors_of_ours_come_out(tmp_path: Path, name: str) -> None:
    reader = READERS[name][1]

    @fuzzing.fuzz
    @given(content=fuzzing.damaged(name))
    def survives(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        try:
            reader(tmp_path / name)
        except (VixmlError, DatasetError) as err:
            if user_error(err) is None:  # the user would see a traceback
                raise

    survives()


@pytest.mark.parametrize("name", [name for name in READERS if name != "manifest.json"])
def test_the_valid_files_are_valid(tmp_path: Path, name: str) -> None:
    for content in READERS[name][0]:
        (tmp_path / name).write_bytes(content)
        READERS[name][1](tmp_path / name)
