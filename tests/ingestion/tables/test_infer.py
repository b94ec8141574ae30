"""What `vixml init-data` makes of folders that a newcomer might have."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from vixml.core.errors import ConfigError, DataError
from vixml.ingestion.ingest import ingest
from vixml.ingestion.tables.environment import check_name, describe, findings, write_environment
from vixml.ingestion.tables.infer import propose
from vixml.params.data.ingestion import DataParams

COLOURS, THINGS = ("red", "green", "blue"), ("shoe", "hat", "bag", "ring")
LABELS = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]


def products(count=40):
    return [(f"{i:04d}", f"A {LABELS[i % 12]} for everyone, no. {i}", i % 12) for i in range(count)]


def csv(folder: Path, name: str, header: str, rows, sign=",") -> None:
    text = "\n".join([header, *(sign.join(str(cell) for cell in row) for row in rows)])
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(text + "\n", encoding="utf-8")


def three_tables(folder: Path, query="Product ID;Item Title;img_path", label="Nr;Categorie", pair="prod;cat;score"):
    csv(folder, "a_items.csv", query, [(uid, text.replace(";", ""), f"x{uid}.jpg") for uid, text, _ in products()], ";")
    csv(folder, "b_categories.csv", label, [(f"{i:02d}", name) for i, name in enumerate(LABELS)], ";")
    csv(folder, "c.csv", pair, [(uid, f"{label:02d}", "0.5") for uid, _, label in products()], ";")


def test_three_tables_with_messy_names(tmp_path):
    three_tables(tmp_path)
    found = propose(tmp_path)
    assert (found.queries.file, found.queries.id, found.queries.text) == ("a_items.csv", "Product ID", ["Item Title"])
    assert found.queries.images == ["img_path"]
    assert (found.labels.file, found.labels.id, found.labels.text) == ("b_categories.csv", "Nr", ["Categorie"])
    pairs = found.pairs
    assert (pairs.file, pairs.query, pairs.label, pairs.weight) == ("c.csv", "prod", "cat", "score")
    assert found.split.by == "hash"


def test_contents_count_where_the_names_say_nothing(tmp_path):
    three_tables(tmp_path, query="A;B;C", label="A;B", pair="A;B;C")
    found = propose(tmp_path)
    assert (found.queries.file, found.queries.id, found.queries.text) == ("a_items.csv", "A", ["B"])
    assert (found.labels.file, found.labels.id, found.labels.text) == ("b_categories.csv", "A", ["B"])
    assert (found.pairs.query, found.pairs.label) == ("A", "B")


def test_ids_that_are_numbers_on_both_sides(tmp_path):
    """Every label id is a query id as well: then the names decide."""
    csv(tmp_path, "labels.csv", "id,name", [(i, name) for i, name in enumerate(LABELS)])
    csv(tmp_path, "pairs.csv", "label_id,query_id", [(label, i % 12) for i, (_, _, label) in enumerate(products())])
    csv(tmp_path, "queries.csv", "id,title", [(i, f"title {i} of it") for i in range(12)])
    found = propose(tmp_path)
    assert (found.pairs.query, found.pairs.label) == ("query_id", "label_id")
    assert (found.queries.file, found.labels.file) == ("queries.csv", "labels.csv")


@pytest.mark.parametrize("sign", ["|", ";"])
def test_one_table_that_lists_labels(tmp_path, sign):
    rows = [(uid, '"' + text + '"', sign.join(LABELS[label].split())) for uid, text, label in products()]
    csv(tmp_path, "articles.csv", "sku,headline,tags", rows)
    found = propose(tmp_path)
    assert (found.queries.id, found.queries.text, found.queries.labels) == ("sku", ["headline"], "tags")
    assert found.queries.label_separators == sign
    assert found.labels is found.pairs is None
    report = ingest(tmp_path, DataParams(mapping=found), 0).report
    assert report["sides"]["label"]["items"] == 7


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("sku,name,description,price,tags", ["name", "description"]),  # the longer text is not the only one
        ("sku,Description,Product Name,price,tags", ["Product Name", "Description"]),  # the title comes first
        ("sku,description,brand name,price,tags", ["description"]),  # the name of something else
        ("sku,description,category name,price,tags", ["description"]),
        ("sku,title,comment,price,tags", ["title"]),
        ("sku,Body (HTML),Title,price,tags", ["Title", "Body (HTML)"]),  # as a web shop exports it
        ("sku,Langtext,Artikelbezeichnung,price,tags", ["Artikelbezeichnung", "Langtext"]),
    ],
)
def test_a_title_and_the_text_below_it_are_read_together(tmp_path, header, expected):
    text = "Holds half a litre, dishwasher safe, made of clay by hand in a small town"
    rows = [
        (f"{uid}x", *(("ab ac", text) if "name,desc" in header else (text, "ab ac")), 5, "a|b")
        for uid, *_ in products()
    ]
    csv(tmp_path, "products.csv", header, [[f'"{cell}"' for cell in row] for row in rows])
    assert propose(tmp_path).queries.text == expected


def test_json_lists_of_label_ids_beside_a_table_of_labels(tmp_path):
    lines = [
        json.dumps({"doc": uid, "body": text, "labels": [label, (label + 1) % 12]}) for uid, text, label in products()
    ]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    pd.DataFrame({"key": range(12), "name": LABELS}).to_parquet(tmp_path / "topics.parquet")
    found = propose(tmp_path)
    assert (found.queries.id, found.queries.text, found.queries.labels) == ("doc", ["body"], "labels")
    assert (found.labels.id, found.labels.text) == ("key", ["name"])
    assert "pairs_with_unknown_label" not in ingest(tmp_path, DataParams(mapping=found), 0).report["repairs"]


def test_labels_that_only_the_pairs_name(tmp_path):
    csv(tmp_path, "products.csv", "id,title", [(uid, '"' + text + '"') for uid, text, _ in products()])
    rows = [(uid, word) for uid, _, label in products() for word in LABELS[label].split()]
    csv(tmp_path, "tags.csv", "id,tag", rows)
    found = propose(tmp_path)
    assert (found.queries.file, found.labels) == ("products.csv", None)
    assert (found.pairs.file, found.pairs.query, found.pairs.label) == ("tags.csv", "id", "tag")


def test_a_train_and_a_test_table(tmp_path):
    rows = [(uid, '"' + text + '"', LABELS[label]) for uid, text, label in products()]
    csv(tmp_path, "train.csv", "id,text,category", rows[:30])
    csv(tmp_path, "test.csv", "id,text,category", rows[30:])
    found = propose(tmp_path)
    assert (found.queries.file, found.queries.test_file, found.split.by) == ("train.csv", "test.csv", "file")
    assert found.queries.label_separators == ""


def test_a_split_column_and_images_in_a_folder(tmp_path):
    sides = ["train", "test", "val"]
    rows = [(u, '"' + t + '"', f"{u}.png", sides[i % 3], LABELS[n]) for i, (u, t, n) in enumerate(products(9))]
    csv(tmp_path, "items.csv", "id,text,photo,set,label", rows)
    for uid, *_ in products(9):
        file = tmp_path / "media" / "big" / f"{uid}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(file)
    found = propose(tmp_path)
    assert (found.split.by, found.split.column) == ("column", "set")
    assert (found.queries.images, found.queries.image_folder) == (["photo"], "media/big")
    assert ingest(tmp_path, DataParams(mapping=found), 0).items_train["images"][0] == ["media/big/0000.png"]


def test_what_the_user_says_stands(tmp_path):
    three_tables(tmp_path)
    found = propose(
        tmp_path,
        {"query_text": ["Product ID", "Item Title"], "label_text": ["Nr"], "split_by": "last", "test_fraction": 0.5},
    )
    assert found.queries.text == ["Product ID", "Item Title"]
    assert found.labels.text == ["Nr"]
    assert (found.split.by, found.split.test_fraction) == ("last", 0.5)
    swapped = propose(tmp_path, {"queries": "b_categories.csv", "labels": "a_items.csv"})
    assert (swapped.pairs.query, swapped.pairs.label) == ("cat", "prod")


def test_a_folder_that_says_nothing_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no table"):
        propose(tmp_path)
    csv(tmp_path, "a.csv", "x,y", [(1, 2), (3, 4)])
    with pytest.raises(DataError, match="--query-labels"):
        propose(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        propose(tmp_path / "nowhere")


def test_the_environment_reads_back_as_the_same_mapping(tmp_path, project):
    from vixml.config import ProjectConfigLoader
    from vixml.settings import CONFIG_LOADER_ARGS

    csv(tmp_path / "d", "q.csv", 'id,"ti: ""${x}""",tags', [("01", "some text", "a|b"), ("02", "more text", "b")])
    found = propose(tmp_path / "d", {"split_by": "last"})
    assert found.queries.text == ['ti: "${x}"']
    report = ingest(tmp_path / "d", DataParams(mapping=found), 0).report
    folder = check_name(project / "conf", "mine", overwrite=False)
    write_environment(folder, (tmp_path / "d").as_posix(), found, report)
    loader = ProjectConfigLoader(str(project / "conf"), env="mine", **CONFIG_LOADER_ARGS)
    assert DataParams.model_validate(loader["parameters"]["data"]).mapping == found
    assert loader["catalog"]["raw"]["filepath"] == (tmp_path / "d").as_posix()
    assert loader["catalog"]["image_bank"]["filepath"].startswith("data/04_feature/mine/")
    assert ("train items", "1, 0 naming an image") in findings(report)
    assert ("  text", 'ti: "${x}"', "--query-text COLUMN") in describe(found)
    for name in ("base", "a b", "mine"):
        with pytest.raises(ConfigError):
            check_name(project / "conf", name, overwrite=False)


def test_one_slip_among_the_ids_hides_no_table(tmp_path):
    three_tables(tmp_path)
    lines = (tmp_path / "a_items.csv").read_text().splitlines()
    (tmp_path / "a_items.csv").write_text("\n".join([*lines, lines[3], ";nobody;"]) + "\n")
    found = propose(tmp_path)
    assert (found.queries.file, found.queries.id, found.pairs.file) == ("a_items.csv", "Product ID", "c.csv")


def test_a_repeated_column_may_be_the_text(tmp_path):
    three_tables(tmp_path, label="Nr;Categorie")
    lines = [
        f"{line};{'Categorie' if row == 0 else 'more'}"
        for row, line in enumerate((tmp_path / "b_categories.csv").read_text().splitlines())
    ]
    (tmp_path / "b_categories.csv").write_text("\n".join(lines) + "\n")
    assert propose(tmp_path).labels.text == ["Categorie"]


def shop_with_pairs(folder: Path) -> None:
    """Write an export with two columns of labels, of names that say nothing, beside a table that pairs one of them."""
    rows = [
        (
            f"P-{uid}",
            f"Ding {number % 7} no {uid}",
            f"Group {number % 3}, all",
            f"{COLOURS[number % 3]}, {THINGS[number % 4]}",
        )
        for number, (uid, *_) in enumerate(products())
    ]
    csv(folder, "artikel_export.csv", "Art.-Nr.;Bezeichnung;Warengruppe;Merkmale", rows, ";")
    csv(folder, "zuordnung.csv", "Art.-Nr.;Merkmal", [(row[0], tag) for row in rows for tag in row[3].split(", ")], ";")


def test_the_table_that_has_the_named_column_of_labels_is_that_of_the_queries(tmp_path):
    shop_with_pairs(tmp_path)
    found = propose(tmp_path, {"query_labels": ["Merkmale"]})
    assert (found.queries.file, found.queries.id, found.queries.labels) == (
        "artikel_export.csv",
        "Art.-Nr.",
        "Merkmale",
    )
    assert found.labels is found.pairs is None
    with pytest.raises(DataError, match=r"no column `Merkmahle`.*did you mean `Merkmal"):
        ingest(tmp_path, DataParams(mapping=propose(tmp_path, {"query_labels": ["Merkmahle"]})), 0)


def test_another_column_than_that_of_the_labels_refers_to_no_table_of_labels(tmp_path):
    shop_with_pairs(tmp_path)
    csv(tmp_path, "stock.csv", "Art.-Nr.;Menge", [(f"P-{uid}", 3) for uid, *_ in products()], ";")
    found = propose(tmp_path, {"queries": "artikel_export.csv", "query_labels": ["Merkmale"]})
    assert found.labels is None


def test_several_columns_of_labels_are_read_together_each_with_its_separator(tmp_path):
    shop_with_pairs(tmp_path)
    found = propose(tmp_path, {"query_labels": ["Warengruppe", "Merkmale"]})
    assert found.queries.labels == ["Warengruppe", "Merkmale"]
    assert found.queries.label_separators == ["", ","]
    assert found.queries.text == ["Bezeichnung"]
    report = ingest(tmp_path, DataParams(mapping=found), 0).report
    assert report["sides"]["label"]["items"] == 3 + len(COLOURS) + len(THINGS)
    assert report["labels_per_point"]["train"]["mean"] == 3.0
    same = propose(tmp_path, {"query_labels": ["Warengruppe", "Merkmale"], "label_separators": [","]})
    assert same.queries.label_separators == ","
    with pytest.raises(ConfigError, match="3 entries and `labels` 2 columns"):
        propose(tmp_path, {"query_labels": ["Warengruppe", "Merkmale"], "label_separators": [",", "|", ""]})


def test_several_columns_of_label_ids_beside_a_table_of_labels(tmp_path):
    rows = [(f"q{uid}", f"title {uid} of it", f"L{label}", f"L{(label + 1) % 12}") for uid, _, label in products()]
    csv(tmp_path, "items.csv", "id,title,main,other", rows)
    csv(tmp_path, "names.csv", "nr,name", [(f"L{number}", name) for number, name in enumerate(LABELS)])
    found = propose(tmp_path, {"query_labels": ["main", "other"]})
    assert (found.labels.file, found.labels.id, found.queries.labels) == ("names.csv", "nr", ["main", "other"])
    report = ingest(tmp_path, DataParams(mapping=found), 0).report
    assert report["labels_per_point"]["train"]["mean"] == 2.0


def test_columns_that_look_like_lists_are_named_where_none_is_called_like_labels(tmp_path):
    rows = [
        (f"P-{uid}", f"Ding no {uid}", "made by hand, ships flat", "12,90", f"{COLOURS[n % 3]}, {THINGS[n % 4]}")
        for n, (uid, *_) in enumerate(products())
    ]
    csv(tmp_path, "artikel.csv", "Art.-Nr.;Bezeichnung;Langtext;Preis;Alle Merkmale", rows, ";")
    with pytest.raises(
        DataError, match=r"`Alle Merkmale` looks like a list of labels: --query-labels 'Alle Merkmale'\."
    ) as error:
        propose(tmp_path)
    assert "Preis`" not in str(error.value)


def test_one_of_several_columns_of_0_and_1_is_the_labels_where_it_is_named(tmp_path):
    """The error that asks for it offers this way; without a name the columns are refused."""
    rows = [(f"P-{uid}", f"Thing no {uid}", n % 2, int(n % 3 == 0)) for n, (uid, *_) in enumerate(products())]
    csv(tmp_path, "products.csv", "id;title;labels;tag_red", rows, ";")
    with pytest.raises(DataError, match="own column of 0 and 1"):
        propose(tmp_path)
    assert propose(tmp_path, {"query_labels": "labels"}).queries.labels == "labels"
