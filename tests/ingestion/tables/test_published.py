"""Folders as people publish their data: what they hold is what is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from tests.ingestion.tables.test_cases import WRITERS, size, taken

from vixml.core.errors import DataError
from vixml.ingestion.ingest import Ingested, ingest
from vixml.ingestion.tables.files import read_blocks, read_table
from vixml.ingestion.tables.infer import propose
from vixml.params.data.ingestion import DataParams

NAMES = ["Hats", "Shoes", "Bags", "Toys", "Books"]
COUNT = 40


def labels(i: int) -> list[str]:
    return [NAMES[i % 5], NAMES[(i + 2) % 5]]


def queries(start: int = 0, stop: int = COUNT) -> pd.DataFrame:
    rows = range(start, stop)
    texts = [f"a thing, no. {i}" for i in rows]
    return pd.DataFrame({"id": [f"p{i}" for i in rows], "text": texts, "labels": ["|".join(labels(i)) for i in rows]})


def as_proposed(folder: Path, **choices) -> Ingested:
    return ingest(folder, DataParams(mapping=propose(folder, choices)), 0)


def sides(found: Ingested) -> tuple[int, int, int]:
    return len(found.items_train), len(found.items_validation), len(found.items_test)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train.csv", "valid.csv", "test.csv"),
        ("my-train.parquet", "my-dev.parquet", "my-test.parquet"),
        (
            "data/train-00000-of-00001.parquet",
            *(f"data/{side}-00000-of-00001.parquet" for side in ("validation", "test")),
        ),
        ("train/data.jsonl", "val/data.jsonl", "test/data.jsonl"),
    ],
)
def test_three_files_are_the_three_sides(tmp_path, train, validation, test):
    for name, (start, stop) in {train: (0, 25), validation: (25, 30), test: (30, 40)}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        WRITERS[file.suffix[1:]](queries(start, stop), file.with_suffix(""))
    found = as_proposed(tmp_path)
    assert sides(found) == (25, 5, 10)
    assert size(found)[1:] == (5, 70)
    assert found.items_validation["uid"][0] == "p25"
    assert found.report["ledger"]["files_not_used"] == []


def test_pairs_of_three_files_say_the_sides(tmp_path):
    """The layout of retrieval benchmarks: queries, a corpus, and qrels of each side."""
    lines = [json.dumps({"_id": f"p{i}", "text": f"a thing {i}", "metadata": {}}) for i in range(COUNT)]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    lines = [json.dumps({"_id": f"c{i}", "title": name, "text": "about " + name}) for i, name in enumerate(NAMES)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "qrels").mkdir()
    for name, (start, stop) in {"train": (0, 25), "dev": (25, 30), "test": (30, 40)}.items():
        rows = [f"p{i}\tc{(i + 2 * k) % 5}\t1" for i in range(start, stop) for k in range(2)]
        (tmp_path / "qrels" / f"{name}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    found = as_proposed(tmp_path)
    assert sides(found) == (25, 5, 10)
    assert size(found)[1:] == (5, 70)
    assert found.relevance_validation.nnz == 10
    chosen = as_proposed(tmp_path, pairs="qrels/train.tsv", test_pairs="qrels/dev.tsv")
    assert sides(chosen)[2] == 5


def test_queries_and_pairs_of_two_files_each(tmp_path):
    pairs = pd.DataFrame({"query": [f"p{i}" for i in range(COUNT)], "tag": [labels(i)[0] for i in range(COUNT)]})
    for side, part in (("train", slice(0, 30)), ("test", slice(30, 40))):
        queries()[part][["id", "text"]].to_csv(tmp_path / f"{side}_queries.csv", index=False)
        pairs[part].to_csv(tmp_path / f"{side}_pairs.csv", index=False)
    found = as_proposed(tmp_path)
    assert sides(found) == (30, 0, 10)
    assert size(found) == (40, 5, 40)


@pytest.mark.parametrize("name", ["products_old.csv", "products (1).csv", "backup/products.csv"])
def test_a_copy_of_a_table_is_no_table_of_labels(tmp_path, name, caplog):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    for file in ("products.csv", name):
        queries().to_csv(tmp_path / file, index=False)
    assert size(taken(tmp_path)) == (40, 5, 80)
    assert "a table of 40 rows (id, text, labels)" in caplog.text


@pytest.mark.parametrize(
    "names", [("tag", "tag.1"), ("labels", "labels.1", "labels.2"), ("tag", "tag"), ("labels", " labels")]
)
def test_columns_that_pandas_has_numbered_are_one(tmp_path, names):
    rows = [[f"p{i}", f"a thing {i}", *labels(i), ""][: 2 + len(names)] for i in range(COUNT)]
    text = "\n".join(",".join(row) for row in [["id", "title", *names], *rows])
    (tmp_path / "products.csv").write_text(text + "\n")
    assert size(taken(tmp_path)) == (40, 5, 80)


def test_columns_of_numbers_with_a_point_are_not_one(tmp_path):
    (tmp_path / "q.csv").write_text("id,title,2,2.1,tag,v.1\n" + "".join(f"p{i},a thing,1,5,x,y\n" for i in range(20)))
    assert propose(tmp_path).queries.labels == "tag"
    assert taken(tmp_path).report["ledger"]["files"][0]["columns_not_used"] == ["2", "2.1", "v.1"]


def test_half_characters_do_not_make_two_labels_one(tmp_path):
    rows = [{"id": f"p\ud800{i}", "title": "half \udfff", "labels": ["x" + chr(0xD800 + i % 5)]} for i in range(COUNT)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = taken(tmp_path)
    assert size(found) == (40, 5, 40)
    assert found.items_train["uid"][0] == "p\\ud8000"
    assert found.items_train["text"][0] == "half ?"


def test_ids_of_a_spreadsheet_and_of_a_web_page_are_found(tmp_path):
    frame = pd.DataFrame({"id": [f"{i:03d}" for i in range(COUNT)], "title": "a thing"})
    frame.to_csv(tmp_path / "products.csv", index=False)
    links = pd.DataFrame(
        {"product": [f'="{i:03d}"' for i in range(COUNT)], "tag": [NAMES[i % 5] for i in range(COUNT)]}
    )
    links["product"] = [f"{i:03d}\u00a0\u200b" if i % 2 else uid for i, uid in enumerate(links["product"])]
    links.to_csv(tmp_path / "links.csv", index=False)
    found = taken(tmp_path)
    assert size(found) == (40, 5, 40)
    assert found.report["tables"]["files"] == ["products.csv", "links.csv"]


@pytest.mark.parametrize("sign", [" ", "/", "#", "^", ":"])
def test_any_sign_separates_ids_that_a_table_of_labels_knows(tmp_path, sign):
    pd.DataFrame({"id": range(5), "name": NAMES}).to_csv(tmp_path / "categories.csv", index=False)
    frame = queries()[["id", "text"]]
    frame["categories"] = [f"{i % 5}{sign}{(i + 2) % 5}" for i in range(COUNT)]
    frame.to_csv(tmp_path / "products.csv", index=False)
    found = taken(tmp_path)
    assert size(found) == (40, 5, 80)
    assert found.items_label["text"].tolist() == NAMES


def test_pictures_that_no_table_names_and_files_that_are_not_there_are_said(tmp_path, caplog):
    frame = queries()
    frame["image"] = [f"{uid}.jpg" for uid in frame["id"]]
    (tmp_path / "images").mkdir()
    for name in [*frame["image"][:30], "x.png", "y.PNG"]:
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / name)
    frame.to_csv(tmp_path / "products.csv", index=False)
    found = taken(tmp_path)
    assert found.report["ledger"]["files_not_used"] == ["images (pictures that no item names: 2)"]
    notes = [note for entry in found.report["ledger"]["files"] for note in entry["notes"]]
    assert notes == ["10 of these files do not exist, such as p30.jpg"]
    assert "10 image files that items name do not exist" in caplog.text
    frame.drop(columns="image").to_csv(tmp_path / "products.csv", index=False)
    assert taken(tmp_path).report["ledger"]["files_not_used"] == ["images (pictures that no item names: 32)"]


def test_ids_of_labels_that_are_ids_of_queries_too_and_a_few_pairs_of_nobody(tmp_path):
    """The column of labels fits the queries better than that of the queries, of which two ids are unknown."""
    pd.DataFrame({"id": range(300), "title": [f"a thing {i}" for i in range(300)]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    pd.DataFrame({"nr": [7, 8, 9], "name": NAMES[:3]}).to_csv(tmp_path / "b.csv", index=False)
    pairs = pd.DataFrame({"x": [*range(300), 9998, 9999], "y": [7 + i % 3 for i in range(302)]})
    pairs.to_csv(tmp_path / "c.csv", index=False)
    mapping = propose(tmp_path)
    assert (mapping.queries.file, mapping.labels.file, mapping.pairs.file) == ("a.csv", "b.csv", "c.csv")
    assert (mapping.pairs.query, mapping.pairs.label) == ("x", "y")
    assert size(taken(tmp_path)) == (300, 3, 300)


def save_to_disk(folder: Path, table: pa.Table, parts: int) -> None:
    """Write a table as `datasets.Dataset.save_to_disk` does."""
    folder.mkdir()
    rows = -(-len(table) // parts)
    for part in range(parts):
        with pa.ipc.new_stream(folder / f"data-{part:05d}-of-{parts:05d}.arrow", table.schema) as stream:
            stream.write_table(table.slice(part * rows, rows), max_chunksize=7)
    (folder / "state.json").write_text(json.dumps({"_data_files": [], "_fingerprint": "abc"}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))


def test_data_sets_that_were_saved_to_the_disk(tmp_path):
    features = {"text": {"_type": "Value"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    numbers = range(COUNT)
    table = pa.table({"text": [f"a thing, no. {i}" for i in numbers], "label": [i % 5 for i in numbers]})
    table = table.replace_schema_metadata(metadata)
    save_to_disk(tmp_path / "train", table.slice(0, 30), 3)
    save_to_disk(tmp_path / "test", table.slice(30), 1)
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    found = as_proposed(tmp_path)
    assert sides(found) == (30, 0, 10)
    assert sorted(found.items_label["text"]) == sorted(NAMES)
    assert found.items_train["text"].tolist() == [f"a thing, no. {i}" for i in range(30)]


@pytest.mark.parametrize("size", [None, 3, 7, 100])
@pytest.mark.parametrize("name", ["t.feather", "t.arrow"])
def test_arrow_is_read_in_blocks(tmp_path, name, size):
    from pyarrow import feather

    table = pa.table({"id": list(range(20)), "tags": [["a", "b"]] * 20})
    if name == "t.feather":
        feather.write_feather(table, tmp_path / name, chunksize=7)
    else:
        with pa.ipc.new_stream(tmp_path / name, table.schema) as stream:
            stream.write_table(table, max_chunksize=7)
    blocks = list(read_blocks(tmp_path / name, size))
    assert [uid for block in blocks for uid in block.columns["id"]] == [str(i) for i in range(20)]
    assert all(cell == ["a", "b"] for block in blocks for cell in block.columns["tags"])
    assert max(map(len, blocks)) <= (size or 20)


@pytest.mark.parametrize("name", ["t.feather", "t.arrow"])
def test_arrow_that_was_cut_anywhere_is_an_error(tmp_path, name):
    with (pa.ipc.new_file if name == "t.feather" else pa.ipc.new_stream)(
        tmp_path / name, pa.schema({"id": pa.int64()})
    ) as stream:
        stream.write_table(pa.table({"id": list(range(30))}), max_chunksize=10)
    content = (tmp_path / name).read_bytes()
    for length in {*range(1, len(content), 37), len(content) - 1, len(content) - 8}:
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(DataError, match="cannot be read"):
            read_table(tmp_path / name)
