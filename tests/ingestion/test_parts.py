"""Tables that come in several files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from tests.ingestion.tables.test_cases import size, taken

from vixml.ingestion.tables.infer import propose

COUNT = 40
LABELS = ["Hats", "Shoes", "Bags", "Toys", "Books"]


def write(folder: Path, **files: pd.DataFrame) -> None:
    for name, frame in files.items():
        frame.to_csv(folder / f"{name}.csv", index=False)


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    numbers = range(COUNT)
    products = pd.DataFrame({"id": [f"p{i:03d}" for i in numbers], "title": [f"a thing, no. {i}" for i in numbers]})
    labels = pd.DataFrame({"id": [f"c{i}" for i in range(5)], "name": LABELS})
    pairs = [(f"p{i:03d}", f"c{(i + k) % 5}") for i in numbers for k in range(2)]
    return products, labels, pd.DataFrame(pairs, columns=["product", "category"])


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (("links_2023", "links_2024"), "links_202*.csv"),
        (("links", "links2"), "links*.csv"),
        (("links-a", "links-b"), "links-*.csv"),
        (("links 2024-01", "links 2024-02"), "links 2024-0*.csv"),
    ],
)
def test_pairs_in_several_files_are_one_table(tmp_path, names, pattern):
    products, labels, links = tables()
    write(tmp_path, products=products, categories=labels, **{names[0]: links[:50], names[1]: links[50:]})
    found = taken(tmp_path)
    assert size(found) == (COUNT, 5, 80)
    assert propose(tmp_path).pairs.file == pattern
    ledger = {entry["file"]: entry for entry in found.report["ledger"]["files"]}
    assert ledger[pattern]["held"] == ledger[pattern]["taken"] == 80
    assert not found.report["ledger"]["files_not_used"]


def test_queries_and_labels_in_several_files(tmp_path):
    products, labels, links = tables()
    write(tmp_path, products1=products[:15], products2=products[15:], tags_a=labels[:2], tags_b=labels[2:], links=links)
    assert size(taken(tmp_path)) == (COUNT, 5, 80)


def test_train_in_several_files_beside_a_test(tmp_path):
    products, labels, links = tables()
    write(tmp_path, products=products, categories=labels)
    write(tmp_path, train_links_1=links[:30], train_links_2=links[30:60], test_links=links[60:])
    found = taken(tmp_path, split_by=None)
    assert (found.relevance_train.nnz, found.relevance_test.nnz) == (60, 20)


@pytest.mark.parametrize("more", ["links_old", "links2"])
def test_copies_and_other_names_are_not_joined_and_named(tmp_path, caplog, more):
    products, labels, links = tables()
    other = links[10:70] if more == "links2" else links[60:]
    kept = links if more == "links2" else links[:60]
    write(tmp_path, products=products, categories=labels, links=kept, **{more: other})
    assert size(taken(tmp_path)) == (COUNT, 5, len(kept))
    assert f"Not used: {more}.csv" in caplog.text


def test_another_row_of_the_same_id_is_another_version(tmp_path, caplog):
    products, labels, links = tables()
    changed = products.assign(title=[f"a new thing, no. {i}" for i in range(COUNT)])
    write(tmp_path, products=products, products2=changed, categories=labels, links=links)
    assert size(taken(tmp_path)) == (COUNT, 5, 80)
    assert "Not used: products2.csv" in caplog.text or "Not used: products.csv" in caplog.text


def test_what_the_user_names_stands(tmp_path):
    products, labels, links = tables()
    write(tmp_path, products=products, categories=labels, links1=links[:50], links2=links[50:])
    assert size(taken(tmp_path, pairs="links1.csv")) == (COUNT, 5, 50)
