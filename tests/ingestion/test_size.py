"""The number of training queries, without reading everything."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from vixml.ingestion import size
from vixml.ingestion.size import count_training_queries
from vixml.params.data.mapping import MappingParams


def mapping(file: str, **split: object) -> MappingParams:
    queries = {"file": file, "id": "id", "text": ["title"], "labels": "tags"}
    return MappingParams.model_validate({"queries": queries, "split": split})


@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_of_a_benchmark(tmp_path: Path, end: str) -> None:
    (tmp_path / "trn.json").write_text("\n".join(["{}"] * 7) + end)
    assert count_training_queries(tmp_path, None) == 7
    with gzip.open(tmp_path / "trn.json.gz", "wt") as file:  # it wins over the plain one
        file.write("{}\n" * 9)
    assert count_training_queries(tmp_path, None) == 9


def test_text_lines(tmp_path: Path) -> None:
    (tmp_path / "raw_data").mkdir()
    (tmp_path / "raw_data" / "train.raw.txt").write_text("1->a\n2->b\n")
    assert count_training_queries(tmp_path, None) == 2


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_file_is_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(size, "_READ_WHOLE", 2_000)
    monkeypatch.setattr(gzip, "READ_BUFFER_SIZE", 1024, raising=False)  # since Python 3.12 as large as this test's file
    lines = "".join(f'{{"uid": "{number:08d}", "title": "{number * 7919 % 100_003}"}}\n' for number in range(150_000))
    (tmp_path / "trn.json").write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    assert count_training_queries(tmp_path, None) == pytest.approx(150_000, rel=0.1)


def test_tables_count_queries_and_leave_out_the_test_share(tmp_path: Path) -> None:
    rows = pd.DataFrame({"id": [n // 2 for n in range(200)], "title": "a", "tags": "x|y"})
    rows.to_csv(tmp_path / "items.csv", index=False)
    rows.to_parquet(tmp_path / "items.parquet")
    for name in ("items.csv", "items.parquet"):
        assert count_training_queries(tmp_path, mapping(name, by="hash", test_fraction=0.25)) == 75
        assert count_training_queries(tmp_path, mapping(name, by="last", test_fraction=0.5)) == 50


def test_large_tables_count_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.DataFrame({"id": range(200), "title": "a", "tags": "x|y"})
    rows.to_parquet(tmp_path / "items.parquet")
    rows.to_csv(tmp_path / "items.csv", index=False)
    monkeypatch.setattr(size, "_READ_WHOLE", 10)
    assert count_training_queries(tmp_path, mapping("items.parquet", test_fraction=0.5)) == 100
    assert count_training_queries(tmp_path, mapping("items.csv", test_fraction=0.5)) == pytest.approx(100, abs=2)


def test_a_table_is_read_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame({"id": range(50), "title": "a", "tags": "x"}).to_csv(tmp_path / "items.csv", index=False)
    first = count_training_queries(tmp_path, mapping("items.csv", test_fraction=0.5))
    monkeypatch.setattr("vixml.ingestion.tables.files.read_table", None)
    assert count_training_queries(tmp_path, mapping("items.csv", test_fraction=0.5)) == first == 25


def test_what_cannot_be_counted_is_ingestions_matter(tmp_path: Path) -> None:
    assert count_training_queries(tmp_path, None) is None
    assert count_training_queries(tmp_path, mapping("gone.csv")) is None
    (tmp_path / "bad.csv").write_bytes(b"\x1f\x8bnothing")
    assert count_training_queries(tmp_path, mapping("bad.csv")) is None
