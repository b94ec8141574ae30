"""The published layouts of benchmarks: tiny folders of each run through ingestion; a broken one is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from vixml.core.errors import DataError
from vixml.datasets.raw_folder import RawFolderDataset
from vixml.ingestion.benchmark.layouts import layout_of
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams

TEXTS = {
    "trn": ["red shoe", "", "blue hat -> small", "gr\u00fcn"],
    "tst": ["red hat", "lamp"],
    "lbl": ["shoes", "hats", "lamps", "never used"],
}
LONG = {"trn": "train", "tst": "test", "lbl": "label"}
MATRICES = {"trn": "4 4\n0:1 1:1\n\n1:1.0 2:0.5\n0:1\n", "tst": "2 4\n1:1\n2:1\n"}


def write_texts(root: Path, *, folder="", long=False, ids=False, encoding="utf-8", packed=False) -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for side, texts in TEXTS.items():
        lines = [f"{side.upper()}{i}->{text}" if ids else text for i, text in enumerate(texts)]
        content = "".join(f"{line}\n" for line in lines).encode(encoding)
        name = f"{LONG[side] if long else side}.raw.txt"
        if packed:
            (root / folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (root / folder / name).write_bytes(content)
    for side, text in MATRICES.items():
        (root / f"{side}_X_Y.txt").write_text(text, encoding="utf-8")
    return root


def check(found, *, ids: bool) -> None:
    """The same data, whatever the layout."""
    assert found.items_train["text"].tolist() == ["red shoe", "untitled", "blue hat -> small", "gr\u00fcn"]
    assert found.items_label["text"].tolist() == TEXTS["lbl"]
    assert found.items_test["uid"].tolist() == (["TST0", "TST1"] if ids else ["0", "1"])
    assert found.relevance_train.toarray().tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0.5, 0], [1, 0, 0, 0]]
    assert found.relevance_test.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    assert found.relevance_train.shape[1] == 4, "the last label has no point and is not lost"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("packed", [False, True])
def test_texts_beside_matrices(tmp_path, encoding, packed):
    raw = write_texts(tmp_path, encoding=encoding, packed=packed)
    assert layout_of(raw) == "sparse"
    found = ingest(raw, DataParams(), 0)
    check(found, ids=False)
    assert found.report["repairs"].get("texts_read_as_cp1252", 0) == (encoding == "latin-1")


@pytest.mark.parametrize("folder", ["raw_data", "raw_text", ""])
def test_mm_amazontitles_300k(tmp_path, folder):
    raw = write_texts(tmp_path, folder=folder, long=True, ids=True)
    (raw / "filter_labels_test.txt").write_text("0 3\n", encoding="utf-8")
    (raw / "filter_labels_train.txt").write_text("", encoding="utf-8")
    (raw / "images.csv").write_text("split,uid,file\nlbl,LBL1,a.png\n", encoding="utf-8")
    found = ingest(raw, DataParams(), 0)
    check(found, ids=True)
    assert found.filter_test.nnz == 1
    assert found.items_label["images"].tolist() == [[], ["images/a.png"], [], []]


def test_text_lines_hold_whatever_the_text_is(tmp_path):
    """`data.text_fields` cannot ask for a content: a line is title and content already."""
    check(ingest(write_texts(tmp_path), DataParams(text_fields="title+content"), 0), ids=False)


@pytest.mark.parametrize("folder", ["", "raw_data", "raw_text"])
@pytest.mark.parametrize("long", [False, True])
def test_json_lines_anywhere(tmp_path, folder, long):
    raw = write_texts(tmp_path)  # they win over texts: they have ids
    (raw / folder).mkdir(exist_ok=True)
    for side, texts in TEXTS.items():
        items = [{"uid": f"u{i}", "title": text, "target_ind": [1], "target_rel": [1]} for i, text in enumerate(texts)]
        name = f"{LONG[side] if long else side}.json"
        (raw / folder / name).write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
    assert ingest(raw, DataParams(), 0).items_label["uid"].tolist() == ["u0", "u1", "u2", "u3"]
    assert RawFolderDataset(filepath=str(raw)).load() == raw


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("trn_X_Y.txt", "3 4\n0:1\n\n1:1\n", r"rows contradict.*3.*4"),
        ("trn_X_Y.txt", "4 3\n0:1\n\n\n\n", r"columns contradict.*3.*4"),
        ("trn_X_Y.txt", "4 4\n0:1\n", "lies about the number of rows"),
        ("trn_X_Y.txt", "4 4\n4:1\n\n\n\n", "out of range"),
        ("trn_X_Y.txt", None, r"a raw file is missing.*trn_X_Y\.txt"),
        ("tst.raw.txt", None, r"a raw file is missing.*tst\.raw\.txt.*raw_data/test\.raw\.txt"),
        ("lbl.raw.txt", "", "holds no item"),
        ("lbl.raw.txt", "a->x\nb->y\na->z\nc->w\n", "the id occurs twice; first in line 1"),
        ("lbl.raw.txt", "a->x\nb->y\nz\nc->w\n", "line 3: the line has no id"),
    ],
)
def test_what_contradicts_is_named(tmp_path, file, content, says):
    raw = write_texts(tmp_path)
    if content is None:
        (raw / file).unlink()
    else:
        (raw / file).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        ingest(raw, DataParams(), 0)


def test_an_unknown_layout_says_which_are_known(tmp_path):
    (tmp_path / "notes.md").write_text("nothing here")
    with pytest.raises(DataError, match=r"json\.gz.*raw\.txt.*trn_X_Y\.txt.*own tables"):
        raise RawFolderDataset(filepath=str(tmp_path)).missing()
    with pytest.raises(DataError, match=r"json\.gz.*raw\.txt.*trn_X_Y\.txt.*own tables"):
        ingest(tmp_path, DataParams(), 0)
