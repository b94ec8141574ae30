import json

import pandas as pd
import pytest
from kedro.io import DatasetError

from vixml.datasets import ItemsDataset


def items(rows):
    return pd.DataFrame(
        {"uid": [f"u{n}" for n in range(rows)], "text": "é", "images": [["a.png"] * n for n in range(rows)]}
    )


@pytest.mark.parametrize("rows", [0, 3])
def test_round_trip(tmp_path, rows):
    dataset = ItemsDataset(filepath=str(tmp_path / "deep" / "items.parquet"))
    assert not dataset.exists()
    dataset.save(items(rows))
    loaded = dataset.load()
    assert loaded["uid"].tolist() == items(rows)["uid"].tolist()
    assert [list(files) for files in loaded["images"]] == items(rows)["images"].tolist()


@pytest.mark.parametrize("rows", [0, 3])
def test_preview_is_json_and_short(tmp_path, rows):
    dataset = ItemsDataset(filepath=str(tmp_path / "items.parquet"))
    dataset.save(items(rows))
    shown = json.loads(json.dumps(dataset.preview(nrows=2)))
    assert shown["columns"] == ["uid", "text", "images"]
    assert shown["data"] == [["u0", "é", ""], ["u1", "é", "a.png"]][:rows]


def test_missing_and_broken_files_are_named(tmp_path):
    dataset = ItemsDataset(filepath=str(tmp_path / "items.parquet"))
    with pytest.raises(DatasetError, match="the items are missing"):
        dataset.load()
    (tmp_path / "items.parquet").write_bytes(b"not parquet")
    with pytest.raises(DatasetError, match="not Parquet"):
        dataset.load()
