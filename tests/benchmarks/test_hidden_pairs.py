"""Pairs hidden from a data set: what is gone, what stays, and how proposals are counted against them."""

from __future__ import annotations

import pandas as pd
import pytest
from benchmarks.hidden_pairs import HIDDEN, count_found, hide_pairs

from vixml.audit.proposals import MISSING, WRONG
from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError
from vixml.demo.catalogue import fabricate
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams, FabricationParams


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    params = FabricationParams(num_train=60, num_test=10, num_labels=24, labels_per_family=6, image_pixels=16)
    return fabricate(params, 0, WorkDirectory(tmp_path_factory.mktemp("raw"))).path


def test_hidden_pairs_and_what_is_left_are_all_pairs(raw, tmp_path):
    number = hide_pairs(raw, tmp_path / "hidden", fraction=0.3, seed=1)
    whole, left = (ingest(folder, DataParams(), 0) for folder in (raw, tmp_path / "hidden"))
    gone = (whole.relevance_train - left.relevance_train).tocoo()
    queries, labels = whole.items_train["uid"].to_numpy(), whole.items_label["uid"].to_numpy()
    listed = pd.read_csv(tmp_path / "hidden" / HIDDEN, dtype=str)
    assert (gone.data > 0).all()
    assert set(zip(queries[gone.row], labels[gone.col], strict=True)) == set(listed.itertuples(index=False, name=None))
    assert 0 < number == len(listed) < whole.relevance_train.nnz / 2
    assert (left.relevance_train.getnnz(axis=1)[whole.relevance_train.getnnz(axis=1) > 0] > 0).all()
    assert (left.relevance_test != whole.relevance_test).nnz == 0
    with pytest.raises(ConfigError, match="exists already"):
        hide_pairs(raw, tmp_path / "hidden", fraction=0.3, seed=1)


def test_the_first_proposals_of_missing_pairs_are_counted(tmp_path):
    (tmp_path / HIDDEN).write_text("query_id,label_id\n" + "".join(f"q{n},l{n}\n" for n in range(0, 200, 2)))
    rows = [(WRONG, "q0", "l0"), *((MISSING, f"q{n}", f"l{n}") for n in [*range(50), *range(1, 301, 2)])]
    table = pd.DataFrame(rows, columns=["proposal", "query_id", "label_id"])
    table.to_csv(tmp_path / "table.csv", index=False)
    assert count_found(tmp_path, tmp_path / "table.csv") == {100: 0.25}
