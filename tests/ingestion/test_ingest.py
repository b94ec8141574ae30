"""Ingestion as a whole: forms, repairs, splits, and the real data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from vixml.core.errors import DataError
from vixml.data.items import PLACEHOLDER
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams

POINTS = [
    {"uid": "p0", "title": "  red\tshoe\n", "content": "soft", "target_ind": [0, 0], "target_rel": [1.0, 1.0]},
    {"uid": "p1", "title": "", "content": "only content", "target_ind": [], "target_rel": []},
    {"uid": "p2", "title": " ", "content": "", "target_ind": [1], "target_rel": [1.0]},
    {"uid": "p3", "title": "Größe \ud800", "content": "", "target_ind": [1, 0], "target_rel": [1.0, 1.0]},
]
LABELS = [{"uid": f"l{row}", "title": f"label {row}", "content": ""} for row in range(3)]


def write_raw(root: Path, points: list[dict[str, Any]] = POINTS, labels: list[dict[str, Any]] = LABELS) -> Path:
    for name, items in (("trn", points), ("tst", points[:2]), ("lbl", labels)):
        (root / f"{name}.json").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return root


def test_titles_are_cleaned_and_repairs_counted(tmp_path):
    found = ingest(write_raw(tmp_path), DataParams(text_fields="title"), 0)
    assert found.items_train["text"].tolist() == ["red shoe", "only content", PLACEHOLDER, "Größe ?"]
    repairs = found.report["repairs"]
    assert repairs["texts_taken_from_content"] == 2  # in training and in test
    assert repairs["empty_texts_replaced"] == 1
    assert repairs["texts_with_broken_characters"] == 1
    assert repairs["duplicate_targets"] == 2
    assert found.report["points_without_labels"] == {"train": 1, "validation": 0, "test": 1}


@pytest.mark.parametrize("fields", ["auto", "title+content"])
def test_title_and_content(tmp_path, fields):
    found = ingest(write_raw(tmp_path), DataParams(text_fields=fields), 0)
    assert found.items_train["text"].tolist()[:2] == ["red shoe soft", "only content"]


def test_content_that_is_nowhere_is_an_error(tmp_path):
    points = [{key: value for key, value in POINTS[0].items() if key != "content"}]
    labels = [{"uid": "l", "title": "t"}]
    with pytest.raises(DataError, match=r"set `data\.text_fields: title`"):
        ingest(write_raw(tmp_path, points, labels), DataParams(text_fields="title+content"), 0)
    alone = ingest(write_raw(tmp_path, points, labels), DataParams(text_fields="auto"), 0)
    assert alone.items_train["text"].tolist() == ["red shoe"]
    found = ingest(
        write_raw(tmp_path, POINTS, [{"uid": f"l{i}", "title": "t"} for i in range(2)]),
        DataParams(text_fields="title+content"),
        0,
    )  # labels may go without
    assert found.items_label["text"].tolist() == ["t", "t"]


def test_the_label_file_alone_fixes_the_width(tmp_path):
    found = ingest(write_raw(tmp_path), DataParams(), 0)
    for name in ("relevance_train", "relevance_validation", "relevance_test", "filter_train", "filter_test"):
        matrix = getattr(found, name)
        assert isinstance(matrix, csr_matrix)
        assert matrix.shape[1] == 3
        assert matrix.dtype == np.float32
        assert matrix.has_canonical_format


def test_an_automatic_validation_split_follows_the_groups(tmp_path):
    points = [
        {"uid": f"p{i}", "title": f"t{i}", "content": "", "target_ind": [i % 3], "target_rel": [1.0]} for i in range(40)
    ]
    raw = write_raw(tmp_path, points)
    (raw / "groups.csv").write_text(
        "uid,split,group\n" + "".join(f"p{i},trn,{i // 5}\n" for i in range(40)), encoding="utf-8"
    )
    found = ingest(raw, DataParams(validation_fraction="auto"), 0)
    assert len(found.items_validation) == 10, "a quarter, for a tenth would be few"
    assert len({int(uid[1:]) // 5 for uid in found.items_validation["uid"]}) == 2


def test_validation_takes_items_relevance_and_filters_along(tmp_path):
    points = [
        {"uid": f"p{i}", "title": f"t{i}", "content": "", "target_ind": [i % 3], "target_rel": [1.0]} for i in range(20)
    ]
    raw = write_raw(tmp_path, points)
    (raw / "filter_labels_train.txt").write_text("".join(f"{i} {i % 3}\n" for i in range(20)), encoding="utf-8")
    (raw / "groups.csv").write_text(
        "uid,split,group\n" + "".join(f"p{i},trn,{i // 2}\n" for i in range(20)), encoding="utf-8"
    )
    found = ingest(raw, DataParams(validation_fraction=0.3), 5)
    assert len(found.items_validation) == 6
    for side in ("train", "validation"):
        rows = [int(uid[1:]) for uid in getattr(found, f"items_{side}")["uid"]]
        assert rows == sorted(rows)
        assert getattr(found, f"relevance_{side}").indices.tolist() == [row % 3 for row in rows]
        assert getattr(found, f"filter_{side}").indices.tolist() == [row % 3 for row in rows]
        assert len({row // 2 for row in rows}) == len(rows) / 2


def test_report_is_json_and_items_survive_parquet(tmp_path):
    found = ingest(write_raw(tmp_path), DataParams(), 0)
    assert json.loads(json.dumps(found.report, allow_nan=False)) == found.report
    found.items_train.to_parquet(tmp_path / "items.parquet")
    again = pd.read_parquet(tmp_path / "items.parquet")
    assert again["text"].tolist() == found.items_train["text"].tolist()
    assert [list(files) for files in again["images"]] == found.items_train["images"].tolist()


@pytest.mark.parametrize("missing", ["trn", "tst", "lbl"])
def test_a_missing_file_is_named(tmp_path, missing):
    (write_raw(tmp_path) / f"{missing}.json").unlink()
    with pytest.raises(DataError, match=rf"{missing}\.json\.gz"):
        ingest(tmp_path, DataParams(), 0)


def test_real_data_set(shared_dir):
    """Counts of mm-icontags equal the statistics that came with it."""
    raw = shared_dir / "data" / "mm-icontags"
    if not raw.is_dir():
        pytest.skip("mm-icontags is not among the shared data")
    found = ingest(raw, DataParams(text_fields="title+content"), 0)
    stats = json.loads((raw / "stats.json").read_text(encoding="utf-8"))["stats"]
    assert found.relevance_train.shape == (9960, 6263)
    assert found.relevance_test.shape == (2536, 6263)
    assert len(found.items_label) == 6263
    sides = found.report["sides"]
    assert sides["train"]["images"] + sides["test"]["images"] == stats["images_of_queries"] == 17106
    assert sides["label"]["with_image"] == 1291
    assert found.filter_train.nnz == stats["filter_pairs_train"]
    assert found.filter_test.nnz == stats["filter_pairs_test"]
    assert found.report["labels_per_point"]["train"]["mean"] == pytest.approx(
        stats["avg_labels_per_train_point"], abs=0.005
    )
    assert found.report["points_per_label"]["mean"] == pytest.approx(stats["avg_train_points_per_label"], abs=0.005)
    assert found.report["head_and_tail"]["tail_share_of_labels"] == pytest.approx(0.627, abs=0.0005)
    assert found.report["head_and_tail"]["top_1_percent_share_of_pairs"] == pytest.approx(0.158, abs=0.0005)
    assert found.report["repairs"]["image_files_missing"] == 0


def test_real_groups_never_cross(shared_dir):
    raw = shared_dir / "data" / "mm-icontags"
    if not raw.is_dir():
        pytest.skip("mm-icontags is not among the shared data")
    found = ingest(raw, DataParams(validation_fraction=0.1), 0)
    groups = pd.read_csv(raw / "groups.csv.gz", dtype=str, keep_default_na=False).query("split == 'trn'")
    group_of = dict(zip(groups["uid"], groups["group"], strict=True))
    sides = [{group_of[uid] for uid in items["uid"]} for items in (found.items_train, found.items_validation)]
    assert not sides[0] & sides[1]
    assert abs(len(found.items_validation) - 996) <= 1
