"""Cells of any type, and lists as programs print them."""

from __future__ import annotations

import uuid
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from vixml.ingestion.tables.cells import CellError, cell_of, split_cell

LABELS = ["Home, Garden & Tools", "Bob's Red Mill", 'The "Shop"', "Toys"]


@pytest.mark.parametrize(
    "text",
    [
        str(LABELS),
        str(tuple(LABELS)),
        str(np.array(LABELS)),
        str(np.array(LABELS, dtype=object)),
        repr(np.array(LABELS, dtype=object)),
        str(pd.Index(LABELS)),
        str(pd.Series(LABELS)),
        str(pd.Series(LABELS, name="tags", dtype=object)),
        str(pd.array(LABELS, dtype="string")),
        str(pd.Categorical(LABELS, categories=LABELS)),
        '["Home, Garden & Tools", "Bob\'s Red Mill", "The \\"Shop\\"", "Toys"]',
        '{"Home, Garden & Tools",Bob\'s Red Mill,"The \\"Shop\\"",Toys}',
    ],
    ids=[
        "list",
        "tuple",
        "numpy",
        "objects",
        "array",
        "index",
        "series",
        "named",
        "strings",
        "categorical",
        "json",
        "pg",
    ],
)
def test_a_printed_list_is_the_list(text):
    assert split_cell(text, "|;,") == LABELS


def test_a_printed_set_is_its_entries():
    assert sorted(split_cell(str(set(LABELS)), "")) == sorted(LABELS)
    assert sorted(split_cell(str(frozenset(LABELS)), ",")) == sorted(LABELS)


@pytest.mark.parametrize(
    ("text", "separators", "entries"),
    [
        ("[1 2 3]", ",", ["1", "2", "3"]),
        ("[1. 2.]", ",", ["1", "2"]),
        ("[7.0, 8.5]", "", ["7", "8.5"]),
        ("(1, 2)", "", ["1", "2"]),
        ("('a',)", "", ["a"]),
        ("[b'a' b'\\xc3\\xa9']", "", ["a", "é"]),
        ("['a', None, nan, 'b']", "", ["a", "b"]),
        ("[]", "|", []),
        ("{}", "|", []),
        ("()", "|", []),
        ("[red, green]", "|", ["red", "green"]),
        ("['Bob's Mill, Inc', 'x']", "", ["Bob's Mill, Inc", "x"]),
        ("[Deleted]", "|", ["[Deleted]"]),
        ("Shoes (men)", "|", ["Shoes (men)"]),
        ("(see, also)", "", ["(see, also)"]),
        ("Patio, Lawn & Garden", "", ["Patio, Lawn & Garden"]),
        ("a|b;c", "|;", ["a", "b", "c"]),
    ],
)
def test_entries_of_a_text(text, separators, entries):
    assert split_cell(text, separators) == entries


@pytest.mark.parametrize(
    "text",
    [
        str(np.array([f"label {i}" for i in range(2000)])),
        str(pd.Series([f"label {i}" for i in range(200)])),
        "[1 2 ... 9]",
        "[['a'], ['b', 'c']]",
        '[["a"], ["b"]]',
        "{'a': 1}",
        '{"a": 1}',
    ],
    ids=["numpy", "series", "numbers", "nested", "json", "dict", "object"],
)
def test_a_list_that_is_cut_or_no_list_of_texts_is_no_guess(text):
    with pytest.raises(CellError):
        split_cell(text, "|")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (7.0, "7"),
        (7.5, "7.5"),
        (np.float64(7), "7"),
        (2**60 + 1, str(2**60 + 1)),
        (Decimal("7.00"), "7"),
        (Decimal("7.50"), "7.5"),
        (Decimal("NaN"), ""),
        (float("nan"), ""),
        (None, ""),
        (pd.NaT, ""),
        (b"lampe \xc3\xa9", "lampe é"),
        ([b"a", None, 7.0], ["a", "", "7"]),
        (date(2024, 1, 2), "2024-01-02"),
        (True, "True"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_a_value_of_any_type_is_a_text(value, cell):
    assert cell_of(value) == cell


@pytest.mark.parametrize("value", [b"\xff\xfe", {"a": 1}, [["a"], ["b"]], object()])
def test_what_is_no_text_is_an_error(value):
    with pytest.raises(CellError):
        cell_of(value)
