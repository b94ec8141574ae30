"""The demo catalogue: equal bytes for equal seeds, sizes, targets, and what titles hide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from vixml.core.directories import WorkDirectory
from vixml.data.sides import Side
from vixml.demo.catalogue import draw_catalogue, fabricate
from vixml.demo.drawing import COLOURS, PATTERNS, SECOND_COLOURS, SHAPES
from vixml.demo.world import Points, World
from vixml.ingestion.ingest import Ingested, ingest
from vixml.params.data.ingestion import DataParams, FabricationParams

SMALL = FabricationParams(num_train=120, num_test=40, num_labels=60, labels_per_family=10, image_pixels=32)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate(SMALL, 3, WorkDirectory(tmp_path_factory.mktemp("work"))).path


@pytest.fixture(scope="module")
def ingested(raw: Path) -> Ingested:
    return ingest(raw, DataParams(), seed=0)


@pytest.fixture(scope="module")
def catalogue() -> tuple[World, dict[str, Points]]:
    return draw_catalogue(FabricationParams(), seed=11)


def test_equal_seeds_give_equal_bytes_and_others_do_not(raw, tmp_path):
    again = fabricate(SMALL, 3, WorkDirectory(tmp_path / "again"))
    other = fabricate(SMALL, 4, WorkDirectory(tmp_path / "other"))
    assert again.kind == "raw-catalogue"
    assert contents(again.path) == contents(raw)
    assert contents(other.path)["trn.json.gz"] != contents(raw)["trn.json.gz"]


def test_raw_files_are_the_benchmarks(raw):
    assert {p.name for p in raw.iterdir()} == {
        "trn.json.gz", "tst.json.gz", "lbl.json.gz", "filter_labels_train.txt", "filter_labels_test.txt",
        "images.parquet", "images",
    }  # fmt: skip


def test_sizes_and_targets(ingested):
    assert [len(ingested.items_train), len(ingested.items_test), len(ingested.items_label)] == [120, 40, 60]
    for matrix in (ingested.relevance_train, ingested.relevance_test):
        lengths = np.diff(matrix.indptr)
        assert lengths.min() >= 2
        assert lengths.max() <= 6
        assert (matrix.data == 1.0).all()
    assert not any(ingested.report["repairs"].values())


def test_pictures_are_files_of_the_chosen_size(raw, ingested):
    files = [file for files in ingested.items_train["images"] for file in files]
    with Image.open(raw / files[0]) as picture:
        assert picture.size == (32, 32)
        assert picture.mode == "RGB"
    assert {len(files) for files in ingested.items_train["images"]} == {0, 1, 2, 3}


def test_filter_lists_products_that_are_labels(ingested):
    pairs = ingested.filter_train.tocoo()
    assert pairs.nnz == 6
    for row, label in zip(pairs.row, pairs.col, strict=True):
        assert ingested.items_train.loc[row].tolist() == ingested.items_label.loc[label].tolist()
        assert ingested.relevance_train[row, label] == 1.0
    assert not set(ingested.filter_test.indices) & set(ingested.filter_train.indices)


def test_titles_hide_what_pictures_show(ingested):
    words = {word.lower() for text in ingested.items_train["text"] for word in text.split()}
    assert not words & {*COLOURS, *SECOND_COLOURS, *PATTERNS, *SHAPES}
    assert any(not text.isascii() for text in ingested.items_train["text"])


def test_default_catalogue_is_long_tailed_with_15_percent_imageless(tmp_path, catalogue):
    _, points = catalogue
    frequency = np.sort(np.bincount(points[Side.TRAIN].targets, minlength=1500))[::-1]
    assert frequency[:15].sum() > 0.06 * frequency.sum()
    assert (frequency <= 5).mean() > 0.5


def test_one_family_with_more_products_than_labels(tmp_path):
    params = FabricationParams(num_train=40, num_test=5, num_labels=8, labels_per_family=8, image_pixels=16,
                               reciprocal_share=1.0, imageless_share=1.0)  # fmt: skip
    found = ingest(fabricate(params, 0, WorkDirectory(tmp_path)).path, DataParams(), 0)
    assert found.filter_train.nnz + found.filter_test.nnz <= 8


@pytest.mark.parametrize("wrong", [{"num_labels": 9}, {"num_train": 0}, {"imageless_share": 1.5}, {"typo": 1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        FabricationParams(**wrong)
