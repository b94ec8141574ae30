"""Filters, manifests, matrices and arrays that are not as they should be (docs/reference/bad_input.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from tests.bad_input.files import POINTS, repairs, write_raw
from tests.bad_input.rows import error, repair, works

from vixml.core.directories import WorkDirectory
from vixml.images.bank import build_image_bank
from vixml.ingestion.benchmark.sparse_matrix import read_sparse_text
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams
from vixml.params.data.vision import VisionParams


@error("filter-out-of-range")
def test_filter_out_of_range(at):
    (write_raw(at.path) / "filter_labels_train.txt").write_text("0 1\n6 0\n")
    repairs(at.path)


@error("filter-malformed")
def test_filter_malformed(at):
    (write_raw(at.path) / "filter_labels_test.txt").write_text("0 1\n0\n")
    repairs(at.path)


@works("filter-missing")
def test_filter_missing(at):
    assert ingest(write_raw(at.path), DataParams(), 0).filter_train.nnz == 0


@error("manifest-broken")
def test_manifest_broken(at):
    (write_raw(at.path) / "images.parquet").write_bytes(b"PAR1 it is not")
    repairs(at.path)


@error("manifest-column")
def test_manifest_column(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,path\ntrn,p0,a.png\n")
    repairs(at.path)


@repair("manifest-row-without-item")
def test_manifest_row_without_item(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,file\ntrn,nobody,a.png\n")
    return repairs(at.path, max_lost=1.0)


@error("rows-lost")
def test_rows_lost(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,file\ntrn,nobody,a.png\n")
    repairs(at.path)


@error("quote-ambiguous")
def test_quote_ambiguous(at):
    file = at.path / "images.csv"
    file.write_text('split,uid,file\ntrn,p0,"a.png\ntrn,p1,"b, c.png"\n')
    write_raw(at.path)
    repairs(at.path)


@error("csv-not-text")
def test_csv_not_text(at):
    (write_raw(at.path) / "images.csv").write_bytes(b"split,uid,file\ntrn,p0,a\0.png\n")
    repairs(at.path)


@error("field-twice")
def test_field_twice(at):
    repairs(write_raw(at.path, trn=[POINTS[0], '{"uid": "p1", "title": "a", "title": "b"}']))


@error("manifest-path-leaves")
def test_manifest_path_leaves(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,file\ntrn,p0,../../etc/passwd\n")
    repairs(at.path)


def sparse(at: Any, text: str, **sizes: int) -> None:
    (at.path / "trn_X_Y.txt").write_text(text)
    read_sparse_text(at.path / "trn_X_Y.txt", **sizes)


@error("sparse-header-lies")
def test_sparse_header_lies(at):
    sparse(at, "3 3\n0:1\n1:1\n")


@error("sparse-header-contradicts")
def test_sparse_header_contradicts(at):
    sparse(at, "1 4\n0:1\n", num_columns=3)


@error("sparse-entry")
def test_sparse_entry(at):
    sparse(at, "1 3\n3:1\n")


def texts(at: Any, trn: bytes = b"a->red\nb->blue\n", rows: int = 2) -> Path:
    """Text lines and sparse matrices."""
    for name, content in (("trn", trn), ("tst", b"c->green\n"), ("lbl", b"l->warm\nm->cold\n")):
        (at.path / f"{name}.raw.txt").write_bytes(content)
    (at.path / "trn_X_Y.txt").write_text(f"{rows} 2\n" + "0:1\n" * rows)
    (at.path / "tst_X_Y.txt").write_text("1 2\n1:1\n")
    return at.path


@error("raw-texts-rows")
def test_raw_texts_rows(at):
    ingest(texts(at, rows=3), DataParams(), 0)


@error("raw-texts-id")
def test_raw_texts_id(at):
    ingest(texts(at, trn=b"a->red\nblue\nc->green\n", rows=3), DataParams(), 0)


@repair("raw-texts-cp1252")
def test_raw_texts_cp1252(at):
    return repairs(texts(at, trn="a->grün\nb->blue\n".encode("latin-1")))


def with_embeddings(at: Any, labels: list[Any], value: float = 1.0) -> Any:
    """Pre-computed image embeddings; `labels` is the map of the labels."""
    write_raw(at.path)
    for side, name, entries in (("trn", "train", [[0]] * 6), ("tst", "test", [-1, [0]]), ("lbl", "labels", labels)):
        array = np.empty(len(entries), dtype=object)
        for place, entry in enumerate(entries):
            array[place] = entry
        np.save(at.path / f"{name}_imgs_384_3_map.npy", array, allow_pickle=True)
        np.save(at.path / f"{side}_embs_imgs_3_1152_siglip2.npy", np.full((2, 4), value, dtype=np.float32))
    return ingest(at.path, DataParams(image_embeddings="."), 0)


class Hostile:
    """Pickles to a program that makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


@error("map-hostile")
def test_map_hostile(at):
    try:
        with_embeddings(at, [[0], Hostile(at.path / "it_ran"), -1])
    finally:
        assert not (at.path / "it_ran").exists()


@error("map-other-items")
def test_map_other_items(at):
    with_embeddings(at, [[0], -1])


@error("map-out-of-range")
def test_map_out_of_range(at):
    with_embeddings(at, [[0], [2], -1])


@error("embeddings-nan")
def test_embeddings_nan(at):
    items = {"train": with_embeddings(at, [[0], [1], -1], value=np.nan).items_train}
    build_image_bank(at.path, items, VisionParams(model="hf-hub:a/b"), 0, WorkDirectory(at.path / "work"))
