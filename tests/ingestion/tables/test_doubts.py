"""What a proposal does not use is an error or is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vixml.core.errors import DataError
from vixml.ingestion.ingest import ingest
from vixml.ingestion.tables.infer import propose
from vixml.params.data.ingestion import DataParams

NAMES = ["Hats", "Shoes", "Bags", "Toys", "Books"]


def one_table(folder: Path, **columns) -> None:
    rows = range(20)
    frame = {"id": [f"p{i}" for i in rows], "title": [f"a thing {i}" for i in rows], **columns}
    pd.DataFrame(frame).to_csv(folder / "products.csv", index=False)


def three_tables(folder: Path, write_id=str, **how) -> None:
    numbers = range(20)
    frames = {
        "products": pd.DataFrame({"id": [f"p{i:03d}" for i in numbers], "title": "a thing"}),
        "categories": pd.DataFrame({"nr": [f"c{i}" for i in range(5)], "name": NAMES}),
        "links": pd.DataFrame(
            {"product": [write_id(f"p{i:03d}") for i in numbers], "category": [f"c{i % 5}" for i in numbers]}
        ),
    }
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False, **(how if how.pop("only", name) == name else {}))


@pytest.mark.parametrize("header", [False, "links"])
def test_a_first_line_that_is_a_row_is_refused(tmp_path, header):
    three_tables(tmp_path, header=False)
    if header == "links":
        (tmp_path / "products.csv").write_text("id,title\n" + (tmp_path / "products.csv").read_text())
        (tmp_path / "categories.csv").write_text("nr,name\n" + (tmp_path / "categories.csv").read_text())
    with pytest.raises(DataError, match="line 1: the first line is a row and not the names of the columns"):
        propose(tmp_path)


@pytest.mark.parametrize(
    ("name", "cells"), [("weight", ["1.0", "inf"]), ("weight", ["high", "low"]), ("ok", [True, False])]
)
def test_a_column_that_may_weigh_pairs_is_named(tmp_path, caplog, name, cells):
    three_tables(tmp_path)
    links = pd.read_csv(tmp_path / "links.csv")
    links.assign(**{name: cells * 10}).to_csv(tmp_path / "links.csv", index=False)
    assert propose(tmp_path).pairs.weight is None
    assert f"Not used: the column {name} of links.csv, which may say how much a pair counts" in caplog.text
    assert "--pair-weight" in caplog.text


@pytest.mark.parametrize("cells", [[True, False], ["yes", "No"], [1, 0]])
def test_pairs_that_say_no_are_none(tmp_path, cells):
    three_tables(tmp_path)
    links = pd.read_csv(tmp_path / "links.csv")
    links.assign(relevant=cells * 10).to_csv(tmp_path / "links.csv", index=False)
    mapping = propose(tmp_path)
    assert mapping.pairs.weight == "relevant"
    found = ingest(tmp_path, DataParams(mapping=mapping, max_lost=1), 0)
    assert found.relevance_train.nnz + found.relevance_test.nnz == 10


def test_a_broken_table_is_an_error_where_it_may_be_the_one_that_is_missing(tmp_path):
    three_tables(tmp_path)
    (tmp_path / "products.csv").write_text('id,title\np000,"Best buy\np001,lamp,x,y\n')
    with pytest.raises(DataError, match=r"products\.csv, line 2"):
        propose(tmp_path)
    assert propose(tmp_path, {"queries": "links.csv"}).queries.file == "links.csv"
    (tmp_path / "products.csv").rename(tmp_path / "notes.txt")
    assert propose(tmp_path).queries.file  # prose stops nothing


def test_a_column_may_be_called_like_a_label(tmp_path):
    tags = ["tag", "id", "title", "other"]
    one_table(tmp_path, tag=[tags[i % 4] for i in range(20)])
    pd.DataFrame({"tag": tags}).to_csv(tmp_path / "tags.csv", index=False)
    found = propose(tmp_path)
    assert (found.labels.file, found.labels.id) == ("tags.csv", "tag")


def test_a_column_of_0_and_1_for_each_label_is_refused(tmp_path):
    one_table(tmp_path, **{f"label_{name}": [i % 2 for i in range(20)] for name in NAMES})
    with pytest.raises(DataError, match=r"its own column.*label_Hats, label_Shoes"):
        propose(tmp_path)


@pytest.mark.parametrize("write_id", [str.upper, lambda uid: f"shop-{uid}"])
def test_a_table_whose_ids_are_written_otherwise_is_named(tmp_path, caplog, write_id):
    three_tables(tmp_path, write_id)
    assert propose(tmp_path).queries.file == "links.csv"
    assert "Not used: products.csv, a table of 20 rows (id, title)." in caplog.text
    assert "have no text but their id" in caplog.text


def test_a_second_column_of_labels_is_named(tmp_path, caplog):
    one_table(tmp_path, label1=[NAMES[i % 5] for i in range(20)], label2=[NAMES[i % 4] for i in range(20)])
    assert propose(tmp_path).queries.labels == "label1"
    assert "Not used: the column label2 of products.csv, which looks like labels (Hats)" in caplog.text


def test_a_column_of_lists_by_another_name_is_named(tmp_path, caplog):
    lists = [f"{NAMES[i % 5]}, {NAMES[(i + 1) % 5]}" for i in range(20)]
    sentences = [f"sentence {i}, which is like no other, of {i * i} words" for i in range(20)]
    one_table(tmp_path, category=[NAMES[i % 5] for i in range(20)], etiquetas=lists, note=sentences)
    assert propose(tmp_path).queries.labels == "category"
    assert "Not used: the column etiquetas of products.csv (" in caplog.text
    assert "--query-labels category --query-labels etiquetas" in caplog.text
    assert "note" not in caplog.text
    caplog.clear()
    propose(tmp_path, {"query_labels": ["category"]})
    assert "etiquetas" not in caplog.text, "whoever names the labels has decided"


@pytest.mark.parametrize("cells", [[f"p{i}" for i in range(20)], ["data:image/png;base64,iVBORw0KGg"] * 20])
def test_a_column_of_images_that_names_no_files_is_named(tmp_path, caplog, cells):
    one_table(tmp_path, labels=[NAMES[i % 5] for i in range(20)], image=cells)
    assert propose(tmp_path).queries.images == []
    assert "Not used: the column image of products.csv, which looks like images" in caplog.text


@pytest.mark.parametrize(
    "cell", [b"\x89PNG\xff", {"bytes": b"\x89PNG\xff", "path": "a.png"}, [{"bytes": b"\xff", "path": "a"}]]
)
def test_images_within_parquet_are_named(tmp_path, caplog, cell):
    rows = range(20)
    table = {"id": [f"p{i}" for i in rows], "title": ["a thing"] * 20, "labels": [NAMES[i % 5] for i in rows]}
    pq.write_table(pa.table({**table, "image": [cell] * 20}), tmp_path / "products.parquet")
    assert propose(tmp_path).queries.labels == "labels"
    assert "Not used: the column image of products.parquet, which holds" in caplog.text


def test_ids_in_two_columns_that_differ_are_named(tmp_path, caplog):
    text = "".join(f"p{i},a thing {i},{NAMES[i % 5]},q{i}\n" for i in range(20))
    (tmp_path / "products.csv").write_text("id,title,labels,id\n" + text)
    assert propose(tmp_path).queries.id is None
    assert "id of products.csv is the name of several columns" in caplog.text


@pytest.mark.parametrize("name", ["links.xlsx", "links.csv.zip", "links.csv.bz2", "links.orc"])
def test_a_format_that_is_not_read_is_named(tmp_path, caplog, name):
    three_tables(tmp_path)
    (tmp_path / "links.csv").rename(tmp_path / name)
    with pytest.raises(DataError, match="no pairs were found"):
        propose(tmp_path)
    assert f"Not used: {name}; its format is not read" in caplog.text


def test_a_table_in_order_raises_no_doubt(tmp_path, caplog):
    three_tables(tmp_path)
    for name in (".DS_Store", "._links.csv", ".hidden.csv", "~$links.csv", "Thumbs.db"):
        (tmp_path / name).write_text("id,title\n1,2\n")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "links.csv").write_text("id,title\n1,2\n")
    found = propose(tmp_path)
    assert (found.queries.file, found.labels.file, found.pairs.file) == ("products.csv", "categories.csv", "links.csv")
    assert caplog.text == ""


@pytest.mark.parametrize(("body", "is_html"), [("<p>Made of clay</p>", True), ("a <b and c> d, 3 < 4", False)])
def test_texts_with_html_tags_are_named(tmp_path, caplog, body, is_html):
    one_table(tmp_path, body=[f"{body} {i}" for i in range(20)], tags=["red|blue", "red|green"] * 10)
    assert propose(tmp_path).queries.text == ["title", "body"]
    assert ("The column body of products.csv has HTML tags" in caplog.text) is is_html
