"""A user's own tables: formats, splits, repairs, errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vixml.core.errors import ConfigError, DataError, VixmlError
from vixml.data.sides import Side
from vixml.ingestion.ingest import ingest
from vixml.ingestion.tables.cells import split_cell
from vixml.ingestion.tables.files import read_table
from vixml.ingestion.tables.read import read_tabular, write_tables
from vixml.params.data.ingestion import DataParams
from vixml.params.data.mapping import MappingParams

QUERIES = ["id;Titel;bild", "007;rote Schuhe;a.png|b.png", "008;blauer Hut;", "010;grüne Tasche;gone.png"]
LABELS = ["Nr;Name", "01;Schuh", "02;Hut", "03;Tasche"]
PAIRS = ["produkt;kategorie;gewicht", "007;01;1,5", "008;02;", "010;03;1", "999;01;1", "007;99;1", ";01;1"]
MAPPING = {
    "queries": {"file": "q.csv", "id": "id", "text": ["Titel"], "images": ["bild"]},
    "labels": {"file": "l.csv", "id": "Nr", "text": ["Name"]},
    "pairs": {"file": "p.csv", "query": "produkt", "label": "kategorie", "weight": "gewicht"},
    "split": {"by": "last", "test_fraction": 0.4},
}


def write(folder: Path, **tables: list[str]) -> Path:
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def read(folder: Path, most_images: int = 3, **changes):
    return read_tabular(folder, MappingParams.model_validate({**MAPPING, **changes}), most_images=most_images)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write(tmp_path, q=QUERIES, l=LABELS, p=PAIRS)
    for name in ("a.png", "images/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


def test_the_three_tables_become_items_and_pairs_and_everything_odd_is_counted(shop):
    found = ingest(shop, DataParams(mapping=MappingParams.model_validate(MAPPING), max_lost=1.0), 0)
    assert found.items_train["uid"].tolist() == ["007", "008"]
    assert found.items_test["uid"].tolist() == ["010"]
    assert found.items_label["text"].tolist() == ["Schuh", "Hut", "Tasche"]
    assert found.items_train["images"].tolist() == [["a.png", "images/b.png"], []]
    assert found.relevance_train.toarray().tolist() == [[1.5, 0, 0], [0, 1, 0]]
    assert found.relevance_test.toarray().tolist() == [[0, 0, 1]]
    repairs = found.report["repairs"]
    counted = ("pairs_with_unknown_query", "pairs_with_unknown_label", "pairs_with_empty_cell", "image_files_missing")
    assert [repairs[name] for name in counted] == [1, 1, 1, 1]
    assert found.report["tables"]["unknown_query"] == ["999"]
    assert found.report["tables"]["unknown_label"] == ["99"]
    assert json.loads(json.dumps(found.report)) == found.report


def tables() -> dict[str, pd.DataFrame]:
    return {
        "queries": pd.DataFrame({"id": ["1", "02", "3"], "t": ["ä b", "c, d", 'e "f"']}),
        "labels": pd.DataFrame({"id": ["x", "y"], "t": ["X", "Y"]}),
        "pairs": pd.DataFrame({"q": ["1", "02", "3"], "l": ["x", "y", "y"]}),
    }


FORMATS = {
    "comma.csv": lambda f, p: f.to_csv(p, index=False),
    "semicolon.csv": lambda f, p: f.to_csv(p, index=False, sep=";"),
    "tab.tsv": lambda f, p: f.to_csv(p, index=False, sep="\t"),
    "pipe.txt": lambda f, p: f.to_csv(p, index=False, sep="|"),
    "mark.csv": lambda f, p: f.to_csv(p, index=False, encoding="utf-8-sig"),
    "wide.csv": lambda f, p: f.to_csv(p, index=False, encoding="utf-16"),
    "latin.csv": lambda f, p: f.to_csv(p, index=False, encoding="cp1252"),
    "packed.csv.gz": lambda f, p: f.to_csv(p, index=False),
    "lines.jsonl": lambda f, p: f.to_json(p, orient="records", lines=True),
    "lines.jsonl.gz": lambda f, p: f.to_json(p, orient="records", lines=True),
    "list.json": lambda f, p: f.to_json(p, orient="records"),
    "table.parquet": lambda f, p: f.to_parquet(p),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_texts(tmp_path, name):
    frame = tables()["queries"]
    FORMATS[name](frame, tmp_path / name)
    assert read_table(tmp_path / name).columns == {column: frame[column].tolist() for column in frame}


def test_numbers_and_nothing_of_parquet_become_texts(tmp_path):
    frame = pd.DataFrame(
        {"id": [1.0, 2.0, None], "flag": [True, None, False], "tags": [["a", 1], None, []]}, dtype=object
    )
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")), encoding="utf-8")
    assert read_table(file).columns == {
        "id": ["1", "2", ""],
        "flag": ["True", "", "False"],
        "tags": [["a", "1"], "", []],
    }


@pytest.mark.parametrize(
    ("cell", "separators", "entries"),
    [
        ("a| b ;c", "|;", ["a", "b", "c"]),
        ('["a", "b|c", 3]', "|", ["a", "b|c", "3"]),
        ("['a', 'b']", "|", ["a", "b"]),
        (["a ", "", "b"], "|", ["a", "b"]),
        ("a, b", "", ["a, b"]),
        ("  ", "|", []),
    ],
)
def test_a_cell_with_several_entries(cell, separators, entries):
    assert split_cell(cell, separators) == entries


def test_one_file_with_a_list_of_labels_and_without_ids(tmp_path):
    write(tmp_path, q=["text,tags", "red shoe,red|shoe", "blue hat,blue|hat|blue", "red hat,red|hat"])
    found = read(tmp_path, queries={"file": "q.csv", "text": ["text"], "labels": "tags"}, labels=None, pairs=None)
    assert found.sides[Side.TRAIN].uids == ["0", "1"]
    assert found.sides[Side.LABEL].uids == found.sides[Side.LABEL].titles == ["red", "shoe", "blue", "hat"]
    assert found.sides[Side.TRAIN].targets.tolist() == [0, 1, 2, 3, 2]


def test_one_row_a_pair_merges_the_rows_of_a_query(tmp_path):
    write(tmp_path, q=["id,text,tag,pic", "1,first,a,x.png", "1,again,b,y.png", "2,other,a,", "3,third,c,"])
    found = read(
        tmp_path,
        queries={"file": "q.csv", "id": "id", "text": ["text"], "images": ["pic"], "labels": "tag"},
        labels=None,
        pairs=None,
    )
    assert found.sides[Side.TRAIN].titles == ["first", "other"]
    assert found.images[Side.TRAIN] == [["x.png", "y.png"], []]
    assert found.sides[Side.TRAIN].targets.tolist() == [0, 1, 0]
    assert found.repairs["repeated_rows_of_queries"] == 1


def test_a_second_table_is_the_test_side(shop):
    write(shop, more=["id;Titel;bild", "011;neuer Hut;"], p=[*PAIRS, "011;02;1"])
    found = read(shop, queries={**MAPPING["queries"], "test_file": "more.csv"}, split={"by": "file"})
    assert found.sides[Side.TRAIN].uids == ["007", "008", "010"]
    assert found.sides[Side.TEST].uids == ["011"]
    assert found.sides[Side.TEST].targets.tolist() == [1]


def test_a_split_column_of_the_queries_with_validation(shop):
    rows = [f"{line};{split}" for line, split in zip(QUERIES, ("fold", "Train", "dev", "TEST"), strict=True)]
    write(shop, q=rows)
    mapping = {**MAPPING, "split": {"by": "column", "column": "fold"}}
    found = ingest(shop, DataParams(mapping=MappingParams.model_validate(mapping), max_lost=1.0), 0)
    assert [found.items_train["uid"][0], found.items_validation["uid"][0], found.items_test["uid"][0]] == [
        "007",
        "008",
        "010",
    ]
    assert found.relevance_validation.toarray().tolist() == [[0, 1, 0]]
    with pytest.raises(ConfigError, match="validation_fraction"):
        ingest(shop, DataParams(mapping=MappingParams.model_validate(mapping), validation_fraction=0.5), 0)


def test_a_split_column_of_the_pairs_filters_the_training_pairs_of_a_test_query(shop):
    write(
        shop, p=["produkt;kategorie;side", "007;01;train", "007;02;test", "007;03;valid", "008;02;train", "010;03;test"]
    )
    pairs = {"file": "p.csv", "query": "produkt", "label": "kategorie"}
    found = read(shop, pairs=pairs, split={"by": "column", "column": "side"})
    assert found.sides[Side.TRAIN].uids == ["007", "008", "007"]
    assert found.validation.tolist() == [2]
    assert found.sides[Side.TEST].uids == ["007", "010"]
    assert found.sides[Side.TEST].targets.tolist() == [1, 2]
    assert found.filters[Side.TEST].toarray().tolist() == [[1, 0, 1], [0, 0, 0]]
    assert found.filters[Side.TRAIN].toarray().tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_a_hash_split_keeps_every_query_on_its_side_when_the_table_grows(tmp_path):
    def sides(count):
        rows = [f"{number},text {number},a|b" for number in range(count)]
        write(tmp_path, q=["id,text,tags", *rows])
        queries = {"file": "q.csv", "id": "id", "text": ["text"], "labels": "tags"}
        found = read(tmp_path, queries=queries, labels=None, pairs=None, split={"by": "hash", "test_fraction": 0.3})
        return set(found.sides[Side.TEST].uids)

    few, many = sides(300), sides(600)
    assert few == {uid for uid in many if int(uid) < 300}
    assert abs(len(many) - 180) < 40


@pytest.mark.parametrize(
    ("tables", "changes", "message"),
    [
        ({"q": ["id;Title", "1;a"]}, {}, r"no column `Titel`.*did you mean `Title`"),
        ({"p": ["produkt;kategorie;gewicht", "1;1;1"]}, {}, "no pair names a known query"),
        ({"p": [*PAIRS, "008;01;viel"]}, {}, r"p\.csv, line 8: a weight"),
        ({"p": [*PAIRS, "008;01;-1"]}, {}, "at least 0"),
        ({"q": [*QUERIES, "011;x;../../etc/passwd"]}, {}, r"q\.csv, line 5: the image path leaves"),
        ({"q": ["id;Titel;bild", "1;a"]}, {"queries": {**MAPPING["queries"], "file": "nowhere.csv"}}, r"nowhere\.csv"),
        ({"q": ["id;Titel;bild"]}, {}, "no row"),
        ({"q": QUERIES[:2]}, {}, "training side is empty"),
        ({"q": ["a,b", "1,2", "3,4,5"]}, {"queries": {"file": "q.csv", "id": "a", "text": ["b"]}}, "line 3"),
        (
            {"q": [f"{line};{s}" for line, s in zip(QUERIES, "ftvx", strict=True)]},
            {"split": {"by": "column", "column": "f"}},
            r"line 2: the split",
        ),
    ],
)
def test_mistakes_are_named(shop, tables, changes, message):
    write(shop, **tables)
    with pytest.raises(DataError, match=message):
        read(shop, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": None},
        {"split": {"by": "file"}},
        {"split": {"by": "column"}},
        {"queries": {"file": "q.csv", "text": ["Titel"]}},
        {"labels": {"file": "l.csv", "text": ["Name"]}},
    ],
)
def test_a_mapping_that_does_not_fit_together_is_refused(changes):
    with pytest.raises(ValueError, match=r"split|pairs|labels|queries"):
        MappingParams.model_validate({**MAPPING, **changes})


def test_content_is_asked_for_by_columns(shop):
    params = DataParams(mapping=MappingParams.model_validate(MAPPING), text_fields="title+content")
    with pytest.raises(ConfigError, match=r"queries\.text"):
        ingest(shop, params, 0)


def test_frames_are_written_and_read_back(tmp_path):
    frames = tables()
    frames["queries"]["img"] = [Path("a/b.png"), None, Path("c.png")]
    frames["queries"]["more"] = [[Path("d.png"), "e.png"], None, {"g.png", "f.png"}]
    files = write_tables(tmp_path / "new", **frames)
    assert [file.name for file in files] == ["queries.parquet", "labels.parquet", "pairs.parquet"]
    assert read_table(files[0]).columns["id"] == ["1", "02", "3"]
    assert read_table(files[0]).columns["img"] == ["a/b.png", "", "c.png"]
    assert read_table(files[0]).columns["more"] == [["d.png", "e.png"], "", ["f.png", "g.png"]]
    with pytest.raises(DataError, match="no row"):
        write_tables(tmp_path, queries=frames["queries"][:0])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    content=st.binary(max_size=200),
    name=st.sampled_from(["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.csv.gz"]),
)
def test_no_content_breaks_the_reader_otherwise_than_by_an_error_of_ours(tmp_path_factory, content, name):
    file = tmp_path_factory.mktemp("fuzz") / name
    for written in (content, b"id,text\n1,a\n" + content, b'{"id": 1}\n' + content, gzip.compress(content)[:-2]):
        file.write_bytes(written)
        try:
            columns = read_table(file).columns
        except VixmlError:
            continue
        assert len({len(cells) for cells in columns.values()}) == 1


def test_the_pairs_survive_whatever_their_order(shop):
    rng = np.random.default_rng(0)
    first = read(shop).sides[Side.TRAIN]
    write(shop, p=[PAIRS[0], *rng.permutation(PAIRS[1:]).tolist()])
    again = read(shop).sides[Side.TRAIN]
    assert [set(first.targets[a:b]) for a, b in zip(first.offsets[:-1], first.offsets[1:], strict=True)] == [
        set(again.targets[a:b]) for a, b in zip(again.offsets[:-1], again.offsets[1:], strict=True)
    ]
