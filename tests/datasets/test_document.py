import json

import pytest
from kedro.io import DatasetError

from vixml.datasets import JSONDocumentDataset, JSONLinesDataset


def test_document_round_trip_in_utf8(tmp_path):
    dataset = JSONDocumentDataset(filepath=str(tmp_path / "deep" / "d.json"))
    dataset.save({"é": [1, 2.5, None]})
    assert dataset.load() == {"é": [1, 2.5, None]}
    assert json.loads(dataset.preview()) == {"é": [1, 2.5, None]}
    assert "é" in (tmp_path / "deep" / "d.json").read_text(encoding="utf-8")


def test_a_missing_document_is_an_error_unless_it_may_be_missing(tmp_path):
    with pytest.raises(DatasetError, match="the file is missing"):
        JSONDocumentDataset(filepath=str(tmp_path / "d.json")).load()
    optional = JSONDocumentDataset(filepath=str(tmp_path / "d.json"), missing_ok=True)
    assert not optional.exists()
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        optional.load()


def test_lines_round_trip_and_preview_the_end(tmp_path):
    dataset = JSONLinesDataset(filepath=str(tmp_path / "c.jsonl"))
    dataset.save([{"step": n, "loss": n / 2} for n in range(5)])
    assert dataset.load()[3] == {"step": 3, "loss": 1.5}
    assert dataset.preview(nrows=2) == {"index": [3, 4], "columns": ["step", "loss"], "data": [[3, 1.5], [4, 2.0]]}


def test_a_torn_line_is_named(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"a": 1}\n{"a"')
    with pytest.raises(DatasetError, match="line 2: the line is not valid JSON"):
        JSONLinesDataset(filepath=str(tmp_path / "c.jsonl")).load()
