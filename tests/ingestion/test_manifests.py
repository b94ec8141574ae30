"""Image manifest and groups."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from vixml.core.errors import DataError
from vixml.data.sides import Side
from vixml.ingestion.manifests import read_groups, read_images

UIDS = {Side.TRAIN: ["a", "b"], Side.TEST: ["a"], Side.LABEL: ["x", "y"]}
ROWS = [("trn", "a", "a0.png"), ("trn", "a", "images/a1.png"), ("lbl", "y", "y.png"), ("tst", "gone", "a0.png")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a0", "a1", "y"):
        (tmp_path / "images" / f"{name}.png").touch()
    return tmp_path


def write(root: Path, rows: list[tuple], form: str, columns: tuple[str, ...] = ("split", "uid", "file")) -> None:
    table = pd.DataFrame(rows, columns=list(columns))
    if form == "parquet":
        table.to_parquet(root / "images.parquet")
    else:
        table.to_csv(root / "images.csv", index=False)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_both_forms_and_both_kinds_of_paths(root, form):
    write(root, ROWS, form)
    images, counts = read_images(root, UIDS, most=3)
    assert images == {
        Side.TRAIN: [["images/a0.png", "images/a1.png"], []],
        Side.TEST: [[]],
        Side.LABEL: [[], ["images/y.png"]],
    }
    assert counts["image_rows_without_item"] == 1
    assert counts["image_files_missing"] == 0


def test_without_a_manifest_no_item_has_an_image(root):
    images, counts = read_images(root, UIDS, most=3)
    assert images == {Side.TRAIN: [[], []], Side.TEST: [[]], Side.LABEL: [[], []]}
    assert not any(counts.values())


def test_limit_duplicates_and_missing_files_are_counted(root):
    rows = [("trn", "a", "a0.png"), ("trn", "a", "images/a0.png"), ("trn", "a", "no.png"), ("trn", "a", "a1.png")]
    write(root, rows, "csv")
    images, counts = read_images(root, UIDS, most=2)
    assert images[Side.TRAIN][0] == ["images/a0.png", "images/no.png"]
    assert counts == {
        "image_rows_without_item": 0,
        "duplicate_image_rows": 1,
        "images_beyond_limit": 1,
        "image_files_missing": 1,
    }


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("path", ["/etc/x.png", "../x.png", "images/../../x.png", "C:/x.png", "..\\x.png", "."])
def test_paths_never_leave_the_root(root, form, path):
    write(root, [*ROWS[:1], ("trn", "b", path)], form)
    with pytest.raises(DataError, match="leaves the raw root") as caught:
        read_images(root, UIDS, most=3)
    assert caught.value.line == (3 if form == "csv" else 2)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("train", "a", "x.png"), "split is unknown"),
        (("trn", None, "x.png"), "`uid` is empty"),
        (("trn", "a", ""), "`file`"),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_bad_cells_name_their_line(root, form, row, says):
    write(root, [ROWS[0], row], form)
    with pytest.raises(DataError, match=says) as caught:
        read_images(root, UIDS, most=3)
    assert caught.value.line == (3 if form == "csv" else 2)


def test_unreadable_tables(root):
    write(root, ROWS, "csv", columns=("split", "uid", "path"))
    with pytest.raises(DataError, match="no column file"):
        read_images(root, UIDS, most=3)
    (root / "images.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_images(root, UIDS, most=3)
    (root / "groups.csv.gz").write_bytes(gzip.compress(b"uid,split,group\n" * 1000)[:20])
    with pytest.raises(DataError, match="cannot be read"):
        read_groups(root, Side.TRAIN, ["a"])


def test_groups_of_one_split_and_loners(root):
    assert read_groups(root, Side.TRAIN, ["a"]) is None
    (root / "groups.csv").write_text("uid,split,group\na,trn,g\nb,trn,g\nc,tst,g\n", encoding="utf-8")
    codes = read_groups(root, Side.TRAIN, ["b", "c", "a", "d"])
    assert codes is not None
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 3


def test_a_manifest_without_a_row_gives_no_item_an_image(root):
    write(root, [], "parquet")
    images, counts = read_images(root, UIDS, most=3)
    assert not any(files for side in images.values() for files in side)
    assert not any(counts.values())


def test_a_manifest_is_read_by_the_rules_of_all_tables(root):
    """Any delimiter and encoding that the user's own tables may have, and whole numbers as ids."""
    (root / "images.csv").write_bytes("split;uid;file\ntrn;b;été.png\n".encode("cp1252"))
    assert read_images(root, UIDS, most=3)[0][Side.TRAIN] == [[], ["images/été.png"]]
    pd.DataFrame({"split": ["trn"], "uid": [7.0], "file": ["a0.png"]}).to_parquet(root / "images.parquet")
    assert read_images(root, {Side.TRAIN: ["7"]}, most=3)[0][Side.TRAIN] == [["images/a0.png"]]
