"""Ids of two files that mean the same."""

from __future__ import annotations

import unicodedata

import pytest

from vixml.data.ids import IdIndex, canonical_id


@pytest.mark.parametrize(
    ("uid", "meant"),
    [
        ("7.0", "7"),
        ("7.000", "7"),
        ("-7.0", "-7"),
        ("7.5", "7.5"),
        ("9007199254740992.0", "9007199254740992"),
        ("9007199254740994.0", "9007199254740994.0"),  # a float that may have been 9007199254740993
        ("0000000000000007.0", "0000000000000007"),
        ("1e+10", "10000000000"),
        ("1.5e+3", "1500"),
        ("1e5", "1e5"),
        ("2020-01-02 00:00:00", "2020-01-02"),
        ("1.152921504606847e+18", "1.152921504606847e+18"),
        ("007", "007"),
        ("1.2.0", "1.2.0"),
        (" a ", "a"),
        ('="007"', "007"),
        ('=""', '=""'),
        ("p\u00a07\u200b", "p 7"),
    ],
)
def test_whole_numbers_are_written_in_one_way(uid, meant):
    assert canonical_id(uid) == meant


def test_an_id_is_found_as_it_is_written_before_by_what_it_means():
    index = IdIndex({"7": 0, "7.0": 1, "8.0": 2, unicodedata.normalize("NFD", "é"): 3})
    assert index.rows(["7", "7.0", "8", "8.0", "é", "9"]).tolist() == [0, 1, 2, 2, 3, -1]
    assert index.rewritten == 2


def test_two_items_of_one_meaning_are_no_match_for_a_third_way_to_write_it():
    assert IdIndex({"7": 0, "7.0": 1}).find("7.00") is None


def test_the_index_follows_what_is_added():
    row_of = {"7": 0}
    index = IdIndex(row_of)
    assert index.find("8.0") is None
    row_of["8"] = 1
    assert index.find("8.0") == 1
