"""Files of queries: every format says the same, whatever the columns; bad files are named."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from vixml.core.errors import DataError
from vixml.ingestion.ledger import Entry
from vixml.params.prediction import PredictionParams
from vixml.serving.filters import read_label_list
from vixml.serving.query_files import query_blocks


@pytest.fixture
def queries(root):
    """Ten queries with string ids; images beside the file, some missing, broken or outside."""
    file = root / "queries.csv"
    (root / "broken.png").write_bytes(b"not a picture")
    frame = pd.DataFrame(
        {
            "id": [f"00{n}" for n in range(10)],
            "text": ["red vase", "blue shoe", "", "black, clock", 'a "green" mug', *["white sofa"] * 5],
            "images": ["images/L1.png", "", "images/L2.png|images/L3.png", "broken.png", "../L1.png", *[""] * 5],
        }
    )
    frame.to_csv(file, index=False)
    return file


@pytest.mark.parametrize("name", ["q.parquet", "q.jsonl", "q.jsonl.gz", "q.csv.gz", "q.tsv"])
def test_every_input_says_the_same(queries, tmp_path, name):
    file, rows = tmp_path / name, pd.read_csv(queries, dtype=str, keep_default_na=False)
    lists = rows.assign(images=[cell.split("|") if cell else [] for cell in rows["images"]])
    if name == "q.parquet":
        lists.to_parquet(file)
    elif "jsonl" in name:
        text = "".join(json.dumps(record) + "\n" for record in lists.to_dict("records"))
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    else:
        rows.to_csv(file, index=False, sep="\t" if name == "q.tsv" else ",")
    assert list(query_blocks(file, 4)) == list(query_blocks(queries, 4))
    assert [len(block) for block in query_blocks(file, 4)] == [4, 4, 2]


def test_messy_columns(tmp_path):
    file = tmp_path / "messy.csv"
    file.write_text("Product;Brand;Pic\n A lamp ;Ikea;\nChair;;a.png\n", encoding="utf-8")
    (block,) = query_blocks(file, 9, id_column="id", text_columns=("Brand", "Product"), image_columns=("Pic",))
    assert (block.ids, block.texts, block.images) == (["1", "2"], ["Ikea  A lamp ", "Chair"], [[], ["a.png"]])


def test_several_columns_of_images(tmp_path):
    """One name may stand alone on the command line; a column that is not there holds no image."""
    file = tmp_path / "queries.csv"
    file.write_text("id,text,front,back\n1,lamp,a.png|b.png,c.png\n2,chair,,d.png\n3,mug,,\n", encoding="utf-8")
    params = PredictionParams.model_validate({"text_columns": "text", "image_columns": ["front", "back", "gone"]})
    assert params.text_columns == ("text",)
    (block,) = query_blocks(file, 9, text_columns=params.text_columns, image_columns=params.image_columns)
    assert block.images == [["a.png", "b.png", "c.png"], ["d.png"], []]


def write_json_list(file, rows):
    file.write_text(json.dumps(rows.to_dict("records"), indent=1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("q.csv", lambda file, rows: rows.to_csv(file, index=False, sep=";", encoding="cp1252")),
        ("q.csv", lambda file, rows: rows.to_csv(file, index=False, sep="\t", encoding="utf-16")),
        ("q.txt", lambda file, rows: rows.to_csv(file, index=False, sep="|", encoding="utf-8-sig")),
        ("q.csv", lambda file, rows: file.write_bytes(gzip.compress(rows.to_csv(index=False).encode("cp1252")))),
        ("q.tab", lambda file, rows: rows.to_csv(file, index=False, sep="\t")),
        ("q.json", write_json_list),
        ("q.pq", lambda file, rows: rows.to_parquet(file)),
    ],
)
def test_whatever_own_data_may_be_queries_may_be(tmp_path, name, write):
    texts = ["plain"] * 7 + ["Größe, 5 €; neu"]  # the first letter beyond ASCII comes late
    write(tmp_path / name, pd.DataFrame({" id": [f"00{n}" for n in range(8)], "text": texts}).rename(columns=str.strip))
    blocks = list(query_blocks(tmp_path / name, 3))
    assert [uid for block in blocks for uid in block.ids] == [f"00{n}" for n in range(8)]
    assert [text for block in blocks for text in block.texts] == texts


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.csv", "id,text\n1,a,b\n2,c,d\n", "more cells than the header"),
        ("q.jsonl", '{"id": 1, "text": "a"}\n' * 100 + '{"text": "b"}\n', "no `id`.*query 101"),
        ("q.csv", "id,title\n1,a\n", "no column `text`.*id, title"),
        ("q.csv", "", "empty"),
        ("q.csv", "ID,text\n7,a\n", "no column `id`.*ID.*prediction.id_column: ID"),
        ("q.csv", "id,text\n1,a\n,b\n", "no `id`.*query 2"),
        ("q.jsonl", '{"id": 1, "text": "a"}\n{"id": 2,\n', "line 2: .*not valid JSON"),
        ("q.jsonl", "[1]\n", "not a JSON object"),
        ("q.parquet", "no parquet", "cannot be read"),
        ("q.csv.gz", "no gzip", "cannot be read"),
        ("q.xlsx", "", "format is not known"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(query_blocks(tmp_path / name, 100))


def test_queries_that_are_numbered_are_said(tmp_path, caplog):
    (tmp_path / "q.csv").write_text("sku,text\n" + "7,a\n" * 5)
    assert [uid for block in query_blocks(tmp_path / "q.csv", 2) for uid in block.ids] == ["1", "2", "3", "4", "5"]
    assert caplog.text.count("so its queries are numbered from 1; its columns are sku, text") == 1


def test_the_ledger_of_queries(tmp_path):
    (tmp_path / "q.csv").write_text("id,text,price\n1,a,9\nid,text,price\n2,b\n")
    entry = Entry("q.csv")
    assert sum(map(len, query_blocks(tmp_path / "q.csv", 1, entry=entry))) == 2
    assert (entry.held, entry.taken, entry.left_out, entry.unused) == (3, 2, {"header again": 1}, ("price",))


def test_the_ledger_of_lists(tmp_path):
    (tmp_path / "d.txt").write_text("label_id\nL1\n\nL2\n")
    entry = Entry("d.txt")
    assert read_label_list(tmp_path / "d.txt", entry, lambda ids: np.array([0, -1])) == ["L1", "L2"]
    assert (entry.held, entry.taken) == (4, 1)
    assert entry.left_out == {"header": 1, "blank line": 1, "not among the model's labels": 1}
