"""Small inputs that were read wrongly once: each kind with its right value, in all readers."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vixml.core.errors import DataError
from vixml.ingestion.ingest import Ingested, ingest
from vixml.ingestion.tables.files import read_table
from vixml.ingestion.tables.infer import propose
from vixml.params.data.ingestion import DataParams
from vixml.params.data.mapping import MappingParams
from vixml.serving.filters import read_label_list
from vixml.serving.query_files import query_blocks

CASES = Path(__file__).parents[3].parent / "shared" / "cases"
handed_out = pytest.mark.skipif(not CASES.is_dir(), reason="the small inputs are not beside the checkout")


def taken(folder: Path, **choices) -> Ingested:
    mapping = propose(folder, {"split_by": "last", **choices})
    return ingest(folder, DataParams(mapping=mapping), 0)


def size(found: Ingested) -> tuple[int, int, int]:
    """Return the numbers of queries, labels and pairs."""
    queries = len(found.items_train) + len(found.items_test)
    return queries, len(found.items_label), found.relevance_train.nnz + found.relevance_test.nnz


@handed_out
@pytest.mark.parametrize(
    ("name", "rows"), [("quotes_min.tsv", 4), ("quotes_one.tsv", 2), ("quotes_predict/new.tsv", 20)]
)
def test_quotes(name, rows):
    assert len(read_table(CASES / name)) == rows
    assert sum(map(len, query_blocks(CASES / name, 3))) == rows


@handed_out
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quotes_onetable", (40, 5, 71)),
        ("pylist", (40, 5, 80)),
        ("comma_label", (40, 5, 40)),
        ("dupcols", (40, 6, 100)),
        ("bytes_parquet", (40, 6, 40)),
        ("stray_json", (40, 6, 40)),
    ],
)
def test_folders(name, expected):
    found = taken(CASES / name)
    assert size(found) == expected
    if name == "bytes_parquet":
        assert found.items_train["uid"][0] == "p000"
        assert found.items_train["text"][0] == "lampe été 0"


@handed_out
def test_lists_and_lines():
    assert read_label_list(CASES / "pred" / "deny_cp1252.txt") == ["L000005", "Größe"]
    assert read_label_list(CASES / "pred" / "deny_ok.txt") == ["L000005", "L000082"]
    assert read_table(CASES / "pred" / "nulls.jsonl").columns == {
        "id": ["9007199254740993", "0012", "1.5"],
        "text": ["", "NaN", "x"],
    }


def shop(folder: Path, count: int = 20) -> dict[str, pd.DataFrame]:
    """Return three tables of numbered products, categories and links."""
    numbers = range(count)
    return {
        "products": pd.DataFrame({"id": [100 + i for i in numbers], "title": [f"thing no. {i}" for i in numbers]}),
        "categories": pd.DataFrame({"nr": [7, 8, 9], "name": ["hats", "shoes", "bags"]}),
        "links": pd.DataFrame({"product": [100 + i for i in numbers], "category": [7 + i % 3 for i in numbers]}),
    }


WRITERS = {
    "csv": lambda frame, file: frame.to_csv(f"{file}.csv", index=False),
    "tsv": lambda frame, file: frame.to_csv(f"{file}.tsv", index=False, sep="\t", encoding="utf-16"),
    "jsonl": lambda frame, file: frame.to_json(f"{file}.jsonl", orient="records", lines=True),
    "parquet": lambda frame, file: frame.to_parquet(f"{file}.parquet"),
}


@pytest.mark.parametrize("ends", [("csv", "parquet"), ("parquet", "csv"), ("jsonl", "tsv")])
@pytest.mark.parametrize("kind", ["Int64", "float64", "str", "category"])
def test_an_id_means_the_same_in_every_file(tmp_path, ends, kind):
    tables = shop(tmp_path)
    tables["links"] = tables["links"].astype(kind)
    for name, frame in tables.items():
        WRITERS[ends[name == "links"]](frame, tmp_path / name)
    assert size(taken(tmp_path)) == (20, 3, 20)


def test_decimals_and_bytes_are_ids(tmp_path):
    tables = shop(tmp_path)
    for name, frame in tables.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    links = pa.table(
        {
            "product": pa.array([str(100 + i).encode() for i in range(20)], pa.binary()),
            "category": pa.array([7 + i % 3 for i in range(20)]).cast(pa.decimal128(25, 2)),
        }
    )
    pq.write_table(links, tmp_path / "links.parquet")
    assert size(taken(tmp_path)) == (20, 3, 20)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"\xff\xfe"] * 3, pa.binary()),
        pa.array([[["a"], ["b"]]] * 3),
        pa.array([{"a": 1}] * 3),
    ],
    ids=["bytes", "nested", "struct"],
)
def test_what_is_no_text_is_an_error_where_it_is_used_and_only_there(tmp_path, array):
    numbers = [str(i) for i in range(3)]
    pq.write_table(pa.table({"id": numbers, "text": ["a"] * 3, "odd": array}), tmp_path / "q.parquet")
    assert read_table(tmp_path / "q.parquet").column("id") == numbers
    assert [block.texts for block in query_blocks(tmp_path / "q.parquet", 2)] == [["a", "a"], ["a"]]
    with pytest.raises(DataError, match=r"q\.parquet, line 1: a cell of the column `odd`"):
        list(query_blocks(tmp_path / "q.parquet", 2, text_columns=["odd"]))


def test_lists_of_bytes_and_of_numbers_in_parquet(tmp_path):
    table = pa.table({"id": ["1", "2"], "tags": [[b"a", b"\xc3\xa9"], [b"a"]], "numbers": [[1.0, 2.0], []]})
    pq.write_table(table, tmp_path / "q.parquet")
    assert read_table(tmp_path / "q.parquet").columns["tags"] == [["a", "é"], ["a"]]
    assert read_table(tmp_path / "q.parquet").columns["numbers"] == [["1", "2"], []]


def test_columns_of_one_name_in_parquet_and_fields_of_one_name_in_json(tmp_path):
    arrays = [pa.array(["1", "2"]), pa.array(["a", "b"]), pa.array(["c", ""])]
    pq.write_table(pa.table(arrays, names=["id", "tag", "tag"]), tmp_path / "q.parquet")
    assert read_table(tmp_path / "q.parquet").columns["tag"] == [["a", "c"], ["b"]]
    (tmp_path / "q.jsonl").write_text('{"id": "1", "tag": "a"}\n{"id": "2", "tag": "a", "tag" : "b"}\n')
    with pytest.raises(DataError, match=r"line 2: the field `tag` occurs twice"):
        read_table(tmp_path / "q.jsonl")


@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet"])
def test_parts_of_one_table_are_one_table(tmp_path, end):
    frame = pd.DataFrame({"id": [str(i) for i in range(40)], "text": "some text", "tags": ["a|b", "b|c"] * 20})
    for part in range(2):
        WRITERS[end](frame[20 * part : 20 * part + 20], tmp_path / f"train-{part:05d}-of-00002")
    assert size(taken(tmp_path)) == (40, 3, 80)
    assert sum(map(len, query_blocks(tmp_path / f"train-*-of-00002.{end}", 100))) == 40
    (tmp_path / f"train-00000-of-00002.{end}").unlink()
    with pytest.raises(DataError, match="parts of the table are missing"):
        taken(tmp_path, queries=f"train-*-of-00002.{end}")


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["Clothing, Shoes & Jewelry", "Arts, Crafts & Sewing", "Books"], 3),
        (["red,shoe", "blue,shoe", "red,hat", "blue,hat"], 4),
        (["a|b", "b|c", "c|a"], 3),
        (["a;b", "b;c", "c;a"], 3),
        (["a|b;c", "b;c", "c|a"], 3),
        (["['a', 'b']", "['b', 'c, d']"], 3),
        (["['a' 'b']", "['b' 'c, d']"], 3),
        (['["a", "b"]', '["c"]'], 3),
    ],
)
def test_labels_of_one_column(tmp_path, cells, labels):
    rows = pd.DataFrame({"id": [f"p{i}" for i in range(24)], "title": "thing", "tags": (cells * 24)[:24]})
    rows.to_csv(tmp_path / "q.csv", index=False)
    assert size(taken(tmp_path))[1] == labels


def test_the_user_may_say_what_separates_labels(tmp_path):
    rows = pd.DataFrame({"id": [f"p{i}" for i in range(24)], "title": "thing", "tags": ["a, b", "c"] * 12})
    rows.to_csv(tmp_path / "q.csv", index=False)
    assert size(taken(tmp_path, label_separators=""))[1] == 2
    assert size(taken(tmp_path, label_separators=","))[1] == 3


def test_a_cell_that_is_a_known_label_is_that_label(tmp_path):
    names = ["Home, Garden", "Toys", "Home", "Books"]
    pd.DataFrame({"id": names, "name": names}).to_csv(tmp_path / "labels.csv", index=False)
    cells = ["Home, Garden", "Toys, Books", "Home, Toys"] * 8
    rows = pd.DataFrame({"id": [f"p{i}" for i in range(24)], "title": "thing", "labels": cells})
    rows.to_csv(tmp_path / "queries.csv", index=False)
    assert size(taken(tmp_path)) == (24, 4, 40)


@pytest.mark.parametrize("name", ["dataset_info.json", "LICENSE.txt", "README.txt", "broken.parquet", "state.jsonl"])
def test_a_stray_file_stops_nothing(tmp_path, name):
    for table, frame in shop(tmp_path).items():
        WRITERS["csv"](frame, tmp_path / table)
    (tmp_path / name).write_text('{\n "features": {"id": "string"}\n}\nthe "licence\n')
    assert size(taken(tmp_path)) == (20, 3, 20)


def test_a_table_that_cannot_be_read_is_an_error_if_it_is_named(tmp_path):
    for table, frame in shop(tmp_path).items():
        WRITERS["csv"](frame, tmp_path / table)
    (tmp_path / "links.csv").write_bytes(b"product,category\n100,7\0\n")
    with pytest.raises(DataError, match=r"links\.csv, line 2: .*NUL"):
        taken(tmp_path, pairs="links.csv")


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("d.txt", b"L1\r\nL2\r\n", ["L1", "L2"]),
        ("d.txt", b"label_id\nL1\n\nGr\xfc\xdfe\n", ["L1", "Grüße"]),
        ("d.txt", "L1\nL2\n".encode("utf-16"), ["L1", "L2"]),
        ("d.txt", b"L1\rL2\r", ["L1", "L2"]),
        ("d.csv", b"label_id,note\nL1,x\nL2,\n", ["L1", "L2"]),
        ("d.jsonl", b'{"id": 7}\n{"id": 8.0}\n', ["7", "8"]),
        ("d.jsonl", b'{"sku": "a"}\n', ["a"]),
    ],
)
def test_lists_of_labels(tmp_path, name, content, ids):
    (tmp_path / name).write_bytes(content)
    assert read_label_list(tmp_path / name) == ids


def test_the_first_id_of_a_list_is_not_taken_for_a_name(tmp_path):
    (tmp_path / "d.csv").write_text("L000005\nL000006\n")
    with pytest.raises(DataError, match=r"d\.csv, line 1: it is not clear.*label_id"):
        read_label_list(tmp_path / "d.csv")


def test_the_manifest_knows_ids_of_floats(tmp_path):
    items = [{"uid": i, "title": f"t {i}", "target_ind": [0], "target_rel": [1.0]} for i in range(3)]
    for name in ("trn", "tst", "lbl"):
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(item) + "\n" for item in items))
    rows = [{"split": side, "uid": float(uid), "file": f"{uid}.png"} for side in ("trn", "lbl") for uid in (0, 1)]
    pd.DataFrame(rows).to_csv(tmp_path / "images.csv", index=False)
    assert "trn,1.0,1.png" in (tmp_path / "images.csv").read_text()
    found = ingest(tmp_path, DataParams(), 0)
    assert found.items_train["images"].tolist() == [["images/0.png"], ["images/1.png"], []]


@pytest.mark.parametrize("names", [("part-00000.jsonl", "part-00001.jsonl"), ("q_part1.jsonl", "q_part2.jsonl")])
def test_numbered_parts_are_one_table(tmp_path, names):
    frame = pd.DataFrame({"id": [str(i) for i in range(40)], "text": "some text", "tags": ["a|b", "b|c"] * 20})
    for part, name in enumerate(names):
        frame[20 * part : 20 * part + 20].to_json(tmp_path / name, orient="records", lines=True)
    assert size(taken(tmp_path)) == (40, 3, 80)


def test_a_second_file_of_pairs_is_named_or_read_by_a_pattern(tmp_path):
    tables = shop(tmp_path)
    tables["products"].to_csv(tmp_path / "products.csv", index=False)
    for part, name in ((slice(0, 15), "links_a.csv"), (slice(15, 20), "links_b.csv")):
        tables["links"][part].to_csv(tmp_path / name, index=False)
    found = taken(tmp_path, pairs="links_a.csv", queries="products.csv")
    assert size(found)[2] == 15
    assert found.report["ledger"]["files_not_used"] == ["links_b.csv"]
    assert size(taken(tmp_path, pairs="links_*.csv"))[2] == 20


def test_days_are_ids(tmp_path):
    days = pd.date_range("2020-01-01", periods=20)
    pd.DataFrame({"id": days, "title": "a thing"}).to_parquet(tmp_path / "products.parquet")
    pd.DataFrame({"product": days, "category": ["a", "b"] * 10}).to_csv(tmp_path / "links.csv", index=False)
    assert size(taken(tmp_path)) == (20, 2, 20)


def test_a_column_of_lists_of_lists_is_named(tmp_path):
    pq.write_table(pa.table({"id": ["1", "2"], "text": ["a", "b"], "tags": [[["a"]], [["b"]]]}), tmp_path / "q.parquet")
    with pytest.raises(DataError, match=r"tags \(a list of lists\)"):
        taken(tmp_path)


def test_floats_that_are_no_longer_exact_are_nobodys_ids(tmp_path):
    ids = [2**60 + i for i in range(20)]
    pd.DataFrame({"id": ids, "title": "a thing"}).to_parquet(tmp_path / "products.parquet")
    links = pd.DataFrame({"product": [float(uid) for uid in ids], "category": ["a", "b"] * 10})
    links.to_parquet(tmp_path / "links.parquet")
    mapping = MappingParams.model_validate(
        {
            "queries": {"file": "products.parquet", "id": "id", "text": ["title"]},
            "pairs": {"file": "links.parquet", "query": "product", "label": "category"},
        }
    )
    with pytest.raises(DataError, match=r"no pair names a known query.*1\.15292"):
        ingest(tmp_path, DataParams(mapping=mapping), 0)
