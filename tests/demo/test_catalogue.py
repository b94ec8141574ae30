"""The demo catalogue: deterministic, readable, and pictures that words cannot replace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from vixml.core.directories import WorkDirectory
from vixml.core.seeding import numpy_generator
from vixml.data.sides import Side
from vixml.demo.catalogue import draw_catalogue, fabricate
from vixml.demo.drawing import COLOURS, JITTER_WIDTH, PATTERNS, SECOND_COLOURS, SHAPES, draw_batch
from vixml.demo.words import CATEGORIES, FILLERS, MATERIALS, USES, brand_names
from vixml.demo.world import Points, World, affinity
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


def test_words_find_the_family_and_pictures_the_label(catalogue):
    """The best ranking by words alone stays near 40 % P@1; pictures lift it far above."""
    world, points = catalogue
    train, test = points[Side.TRAIN], points[Side.TEST]
    relevant = np.zeros((len(test.attributes), 1500), dtype=bool)
    relevant[np.repeat(np.arange(len(relevant)), np.diff(test.offsets)), test.targets] = True
    candidates = world.members[test.attributes.family]
    by_words = np.where(candidates < 0, -1, np.bincount(train.targets, minlength=1500)[candidates])
    by_picture = affinity(world, test.attributes)

    def precision(scores: np.ndarray) -> float:
        best = candidates[np.arange(len(scores)), scores.argmax(axis=1)]
        return float(relevant[np.arange(len(best)), best].mean())

    assert 0.25 < precision(by_words) < 0.45
    assert precision(by_picture) > 0.85
    most_frequent = np.bincount(train.targets).argmax()
    assert relevant[:, most_frequent].mean() < 0.1


def test_families_hold_every_label_once(catalogue):
    world, _ = catalogue
    members = world.members[world.members >= 0]
    assert sorted(members.tolist()) == list(range(1500))
    assert (world.members >= 0).sum(axis=1).min() >= 14
    assert world.popularity.sum() == pytest.approx(1.0)


def test_brand_names_never_repeat():
    names = [name for brand in range(3000) for name in brand_names(brand)]
    assert len(set(names)) == len(names)


def test_every_meaning_has_words_of_its_own():
    words = [word for group in (*CATEGORIES, *USES, *MATERIALS) for word in group]
    assert len(set(words)) == len(words)
    assert not set(words) & set(FILLERS)


def test_drawing_shows_its_colour_and_stays_inside():
    num = len(COLOURS) * len(SHAPES)
    colour, shape = np.divmod(np.arange(num), len(SHAPES))
    jitter = numpy_generator(0, "test").random((num, JITTER_WIDTH))
    zeros = np.zeros(num, dtype=np.int64)
    pictures = draw_batch(colour=colour, second=zeros, pattern=zeros, shape=shape, jitter=jitter, pixels=64)
    assert pictures.shape == (num, 64, 64, 3)
    assert pictures.dtype == np.uint8
    spread = np.ptp(pictures.reshape(num, -1, 3).astype(int), axis=2)
    assert (spread[:, [0, 63, -64, -1]] == 0).all()  # corners are grey ground
    assert ((spread > 40).mean(axis=1) > 0.15).all()


def test_a_batch_equals_its_pictures_one_by_one():
    generator = numpy_generator(1, "test")
    sizes = {"colour": COLOURS, "second": SECOND_COLOURS, "pattern": PATTERNS, "shape": SHAPES}
    choice = {name: generator.integers(0, len(options), 9) for name, options in sizes.items()}
    jitter = generator.random((9, JITTER_WIDTH))
    together = draw_batch(**choice, jitter=jitter, pixels=24)
    for row in range(9):
        alone = draw_batch(**{name: values[[row]] for name, values in choice.items()}, jitter=jitter[[row]], pixels=24)
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("wrong", [{"num_labels": 9}, {"num_train": 0}, {"imageless_share": 1.5}, {"typo": 1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        FabricationParams(**wrong)
