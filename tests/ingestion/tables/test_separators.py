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
        (["Hats|Caps", "Shoes", "Bags"] * 5, ""),  # the same cells again and again, their parts nowhere else
        (["Hats; Caps", "Shoes; Boots", "Bags"] * 5, ""),
        (["a|b", "c|d", "e|f"], "|"),  # nothing speaks against the usual sign
        (["a#b", "b#c", "c#a"], "#"),
        (["a\nb", "b\nc", "c\na"], "\n"),
        (["C#", "C#", "F#"], ""),
        *(([f"a{sign}b", f"b{sign}c", f"c{sign}a"], sign) for sign in "\uff0c\u3001\uff1b\u060c\u061b"),
        (["\u5e3d\u5b50\u3001\u978b", "\u5305\u3001\u73a9\u5177", "\u4e66"], ""),
    ],
)
def test_a_sign_separates_where_what_it_separates_recurs(cells, signs):
    assert label_separators(Column("tags", cells), None) == signs


def test_known_labels_decide(tmp_path):
    labels = Profile("l.csv", {"id": Column("id", ["a", "b", "c, d"])})
    assert label_separators(Column("tags", ["a,b", "b,a"]), labels) == ","
    assert label_separators(Column("tags", ["c, d", "a;c, d"]), labels) == ";"
    assert label_separators(Column("tags", ["a b", "b"]), labels) == " "
    assert label_separators(Column("tags", ["a\u3001b", "b"]), labels) == "\u3001"
    assert label_separators(Column("tags", ["<a><b>", "<b>"]), labels) == "<>"
