"""The ledger of raw files: what is held is taken or left out, and losses beyond a limit stop."""

from __future__ import annotations

import json
import logging
import os

import pytest

from vixml.core.errors import DataError
from vixml.ingestion.ingest import ingest
from vixml.ingestion.ledger import Ledger, check_losses, ledger_rows
from vixml.ingestion.tables.infer import propose
from vixml.params.data.ingestion import DataParams


def ledger(folder, max_lost=1.0, **choices):
    mapping = propose(folder, {"split_by": "last", **choices})
    return ingest(folder, DataParams(mapping=mapping, max_lost=max_lost), 0).report["ledger"]


def write_shop(folder, links=()):
    (folder / "products.csv").write_text("id,title,price\n" + "".join(f"p{i},thing {i},9\n" for i in range(200)))
    (folder / "categories.csv").write_text("nr,name\nc0,hats\nc1,shoes\n")
    rows = [f"p{i},c{i % 2}" for i in range(200)]
    (folder / "links.csv").write_text("product,category\n" + "\n".join([*rows, *links]) + "\n")
    return folder


def test_rows_columns_and_files_that_are_not_taken_are_named(tmp_path):
    write_shop(tmp_path, ["p999,c0", "p1,c9", "p1,", ",c1", "product,category", "", "p2,c1"])
    (tmp_path / "links_more.csv").write_text("product,category\np1,c1\np2,c1\n")
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.JPG").write_bytes(b"")
    found = ledger(tmp_path, pairs="links.csv")
    files = {entry["file"]: entry for entry in found["files"]}
    assert files["products.csv"]["columns"] == ["id", "title"]
    assert files["products.csv"]["columns_not_used"] == ["price"]
    links = files["links.csv"]
    assert (links["held"], links["taken"]) == (206, 202)
    assert links["left_out"] == {"header again": 1, "of an unknown query": 1, "with an empty cell": 2}
    pairs = files["links.csv, its pairs"]
    assert (pairs["held"], pairs["taken"], pairs["left_out"]) == (202, 201, {"of an unknown label": 1})
    assert found["files_not_used"] == ["images (pictures that no item names: 1)", "links_more.csv", "notes.md"]
    printed = [" ".join(row) for row in ledger_rows(found)]
    assert any("links_more.csv NOT USED" in line for line in printed)
    assert any("columns not used: price" in line for line in printed)
    assert any("left out: 1 of an unknown label" in line for line in printed)
    assert json.loads(json.dumps(found)) == found


def test_folders_that_are_too_deep_to_be_looked_at_are_named(tmp_path):
    for name in (
        "products/split=train/data.csv",
        "images/384/ab/x.jpg",
        "images/other/y.jpg",
        "images/.cache/z",
        "used/a/b.npy",
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    ledger = Ledger(tmp_path)
    ledger.use(tmp_path / "used" / "a" / "b.npy")
    ledger.name_pictures(["images/384/ab/x.jpg"])
    assert ledger.unused_files() == [
        "images/other/ (not looked at: too deep)",
        "products/split=train/ (not looked at: too deep)",
    ]


def test_every_guess_comes_with_an_example_and_an_option(tmp_path):
    rows = [f'p{i};"Größe; {i}";Clothing, Shoes & Jewelry' for i in range(9)]
    (tmp_path / "q.csv").write_bytes("\n".join(["id;title;tags", *rows]).encode("cp1252"))
    guesses = {g["what"]: g for entry in ledger(tmp_path)["files"] for g in entry["guesses"]}
    assert guesses["delimiter"]["value"] == "';'"
    assert guesses["delimiter"]["example"] == "id / title / tags"
    assert guesses["encoding"]["value"].startswith("cp1252")
    assert "Größe; 0" in guesses["encoding"]["example"]
    assert guesses["quoting"]["value"].startswith("csv")
    assert "Größe; 0" in guesses["quoting"]["example"]
    assert guesses["id"]["example"] == "p0, p1, p2"
    several = guesses["several in one cell"]
    assert several["example"] == "Clothing, Shoes & Jewelry is 1: <Clothing, Shoes & Jewelry>"
    assert all("--" in guess["option"] for guess in guesses.values())


def test_a_share_of_losses_above_the_limit_stops_with_the_reasons(tmp_path):
    write_shop(tmp_path, [f"p{i},c9" for i in range(20)])
    with pytest.raises(DataError, match=r"0\.01 of the data.*its pairs: 20 of 220 pairs \(20 of an unknown label"):
        ledger(tmp_path, max_lost=0.01)
    assert ledger(tmp_path, max_lost=0.1)["files"]


def test_fewer_losses_are_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        ledger(write_shop(tmp_path, ["p1,c9"]), max_lost=0.01)
    assert "Left out of links.csv, its pairs: 1 of 201 pairs (1 of an unknown label)." in caplog.text


def test_what_nobody_misses_is_no_loss(tmp_path):
    write_shop(tmp_path, ["product,category"] * 50)
    assert ledger(tmp_path, max_lost=0.0)["files"]


def test_rows_that_are_neither_taken_nor_left_out_stop(tmp_path):
    book = Ledger(tmp_path)
    entry = book.entry(tmp_path / "a.csv")
    entry.held, entry.taken = 3, 1
    entry.left_out["without id"] = 1
    with pytest.raises(DataError, match=r"a\.csv: rows of the file are neither taken nor left out"):
        book.balance()
    entry.taken += 1
    book.balance()


def test_a_name_that_is_not_utf8_is_shown(tmp_path):
    write_shop(tmp_path)
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.bin")).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    assert ledger(tmp_path)["files_not_used"] == ["caf\\udce9.bin"]


def test_benchmarks_files_are_accounted_for(tmp_path):
    items = [{"uid": f"p{i}", "title": "t", "price": 1, "target_ind": [0], "target_rel": [1.0]} for i in range(3)]
    for name in ("trn", "tst", "lbl"):
        (tmp_path / f"{name}.json").write_text("\n\n".join(json.dumps(item) for item in items) + "\n")
    (tmp_path / "filter_labels_test.txt").write_text("0 1\n0 1\n")
    (tmp_path / "images.csv").write_text("split,uid,file\ntrn,p0,a.png\ntrn,p0,a.png\n")
    (tmp_path / "trn.json.bak").write_text("")
    found = ingest(tmp_path, DataParams(), 0).report["ledger"]
    files = {entry["file"]: entry for entry in found["files"]}
    assert (files["trn.json"]["held"], files["trn.json"]["taken"]) == (5, 3)
    assert files["trn.json"]["left_out"] == {"blank line": 2}
    assert files["trn.json"]["columns_not_used"] == ["price"]
    assert files["filter_labels_test.txt"]["left_out"] == {"pair again": 1}
    assert files["images.csv"]["left_out"] == {"listed again": 1}
    assert found["files_not_used"] == ["trn.json.bak"]


def test_texts_and_matrices_are_accounted_for(tmp_path):
    for side, name in (("train", "trn"), ("test", "tst"), ("label", "lbl")):
        (tmp_path / f"{name}.raw.txt").write_text("a\n\nb\n")
        if side != "label":
            (tmp_path / f"{name}_X_Y.txt").write_text("3 3\n0:1 0:1 1:0\n\n2:1\n")
    files = {entry["file"]: entry for entry in ingest(tmp_path, DataParams(), 0).report["ledger"]["files"]}
    assert files["trn.raw.txt"]["taken"] == 3
    matrix = files["trn_X_Y.txt"]
    assert (matrix["held"], matrix["taken"], matrix["left_out"]) == (4, 2, {"of value 0": 1, "pair again": 1})


def test_nothing_to_measure_is_said_loudly(tmp_path, caplog):
    points = [{"uid": f"p{i}", "title": "t", "target_ind": [0], "target_rel": [1.0]} for i in range(3)]
    tests = [{**point, "target_ind": [], "target_rel": []} for point in points]
    for name, items in (("trn", points), ("tst", tests), ("lbl", points)):
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(item) + "\n" for item in items))
    with caplog.at_level(logging.WARNING):
        ingest(tmp_path, DataParams(), 0)
    assert "NO TEST QUERY HAS A LABEL" in caplog.text


def test_a_report_without_losses_passes():
    check_losses({"files": []}, 0.0)
