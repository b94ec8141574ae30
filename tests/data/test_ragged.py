"""Ragged arrays against lists of lists."""

from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vixml.data.ragged import RaggedArray, offsets_of, ragged_indices

ROWS = st.lists(st.lists(st.integers(-9, 9), max_size=5), max_size=8)


def ragged(rows: list[list[int]]) -> RaggedArray:
    return RaggedArray(np.array([*chain(*rows)], dtype=np.int32), offsets_of(np.array([*map(len, rows)], dtype=int)))


def lists(array: RaggedArray) -> list[list[int]]:
    return [array.row(index).tolist() for index in range(len(array))]


@given(ROWS, st.integers(0, 6))
def test_rows_lengths_and_cut_rows_are_those_of_the_lists(rows: list[list[int]], most: int) -> None:
    array = ragged(rows)
    assert lists(array) == rows
    assert array.lengths.tolist() == [*map(len, rows)]
    assert lists(array.truncate(most)) == [row[:most] for row in rows]


@given(ROWS.filter(len), st.data())
def test_chosen_rows_are_those_of_the_lists_repeats_too(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12))
    taken = ragged(rows).take(np.array(chosen, dtype=int))
    assert lists(taken) == [rows[index] for index in chosen]
    assert taken.values.dtype == np.int32


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 4)), max_size=8))
def test_indices_are_the_ranges_one_after_the_other(ranges: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(ranges, dtype=int).reshape(-1, 2).T
    expected = [start + step for start, length in ranges for step in range(length)]
    assert ragged_indices(starts, lengths).tolist() == expected


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_parts_are_joined_one_after_the_other(parts: list[list[list[int]]]) -> None:
    assert lists(RaggedArray.join([ragged(part) for part in parts])) == [row for part in parts for row in part]
