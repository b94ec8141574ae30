"""Which characters separate labels in a cell."""

from __future__ import annotations

import pytest

from vixml.ingestion.tables.profile import Column, Profile
from vixml.ingestion.tables.separators import label_separators


@pytest.mark.parametrize(
    ("cells", "signs"),
    [
        (["a|b", "c"], "|"),
        (["a;b", "b;c"], ";"),
        (["a|b;c", "b;c", "a|c"], "|;"),
        (["red,shoe", "red,hat", "blue,shoe"], ","),
        (["Clothing, Shoes & Jewelry", "Arts, Crafts & Sewing", "Books"], ""),
        (["Clothing, Shoes|Books", "Books|Arts, Crafts"], "|"),
        (["['a', 'b']", '["c, d", "a"]'], ""),
        (["a", "b"], ""),
    ],
)
def test_a_sign_separates_where_what_it_separates_recurs(cells, signs):
    assert label_separators(Column("tags", cells), None) == signs


def test_known_labels_decide(tmp_path):
    labels = Profile("l.csv", {"id": Column("id", ["a", "b", "c, d"])})
    assert label_separators(Column("tags", ["a,b", "b,a"]), labels) == ","
    assert label_separators(Column("tags", ["c, d", "a;c, d"]), labels) == ";"
