"""Labels held out of raw files: what is left is a data set of its own, what is missing can be added later."""

from __future__ import annotations

import json

import pytest
from benchmarks.hold_out import HELD_OUT, hold_out_labels

from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError, DataError
from vixml.demo.catalogue import fabricate
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams, FabricationParams


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    params = FabricationParams(num_train=60, num_test=20, num_labels=24, labels_per_family=6, image_pixels=16)
    return fabricate(params, 0, WorkDirectory(tmp_path_factory.mktemp("raw"))).path


def by_uid(ingested, side):
    """Pairs of uids, which do not depend on rows."""
    matrix, labels = getattr(ingested, f"relevance_{side}").tocoo(), ingested.items_label["uid"]
    uids = getattr(ingested, f"items_{side}")["uid"]
    return {(uids[row], labels[column]) for row, column in zip(matrix.row, matrix.col, strict=True)}


def test_what_is_left_is_the_data_set_without_the_held_out_labels(raw, tmp_path):
    report = hold_out_labels(raw, tmp_path / "cold", fraction=0.25, seed=1)
    held = [json.loads(line) for line in (tmp_path / "cold" / HELD_OUT).read_text(encoding="utf-8").splitlines()]
    gone = {label["id"] for label in held}
    whole, left = (ingest(folder, DataParams(), 0) for folder in (raw, tmp_path / "cold"))
    assert len(gone) == report["labels_held_out"] > 0
    assert left.items_label["uid"].tolist() == [uid for uid in whole.items_label["uid"] if uid not in gone]
    for side in ("train", "test"):
        pairs = by_uid(whole, side)
        assert by_uid(left, side) == {pair for pair in pairs if pair[1] not in gone}
        assert report[f"{side}_pairs_held_out"] == sum(label in gone for _, label in pairs)
        whole_items, left_items = (getattr(i, f"items_{side}") for i in (whole, left))
        assert [list(few) for few in left_items["images"]] == [list(few) for few in whole_items["images"]]
        assert getattr(left, f"filter_{side}").nnz <= getattr(whole, f"filter_{side}").nnz
    labels = whole.items_label.set_index("uid")
    for label in held:
        assert label["text"] == labels.loc[label["id"], "text"]
        assert label["images"] == list(labels.loc[label["id"], "images"])
        assert all((tmp_path / "cold" / file).is_file() for file in label["images"])


def test_the_seed_chooses_the_labels(raw, tmp_path):
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        hold_out_labels(raw, tmp_path / name, fraction=0.25, seed=seed)
        texts.append((tmp_path / name / HELD_OUT).read_text(encoding="utf-8"))
    assert texts[0] == texts[1] != texts[2]


def test_misuse_is_named(raw, tmp_path):
    with pytest.raises(ConfigError, match="no label or every label"):
        hold_out_labels(raw, tmp_path / "none", fraction=0.0, seed=0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(DataError, match="not empty"):
        hold_out_labels(raw, tmp_path / "full", fraction=0.1, seed=0)
