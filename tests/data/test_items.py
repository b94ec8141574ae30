import pandas as pd
import pytest

from vixml.core.errors import StateError
from vixml.data.items import first_items, items_fingerprint, read_items


def items(rows):
    return pd.DataFrame(
        {"uid": [f"u{n}" for n in range(rows)], "text": "é", "images": [["a.png"] * n for n in range(rows)]}
    )


@pytest.mark.parametrize("rows", [0, 3])
def test_round_trip(tmp_path, rows):
    items(rows).to_parquet(tmp_path / "items.parquet", index=False)
    loaded = read_items(tmp_path / "items.parquet")
    assert loaded["uid"].tolist() == items(rows)["uid"].tolist()
    assert [list(files) for files in loaded["images"]] == items(rows)["images"].tolist()


@pytest.mark.parametrize("rows", [0, 3])
def test_the_first_items_are_plain_values(tmp_path, rows):
    items(rows).to_parquet(tmp_path / "items.parquet", index=False)
    expected = [{"uid": "u0", "text": "é", "images": []}, {"uid": "u1", "text": "é", "images": ["a.png"]}][:rows]
    assert first_items(tmp_path / "items.parquet", 2) == expected


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(StateError, match=r"items\.parquet: the items are missing"):
        read_items(tmp_path / "items.parquet")
    (tmp_path / "items.parquet").write_bytes(b"not parquet")
    with pytest.raises(StateError, match=r"items\.parquet: the file is not Parquet"):
        read_items(tmp_path / "items.parquet")


def test_the_fingerprint_is_of_the_uids_in_their_order():
    assert items_fingerprint(items(3)) == items_fingerprint(items(3).assign(text="e"))
    assert items_fingerprint(items(3)) != items_fingerprint(items(3).iloc[::-1])
