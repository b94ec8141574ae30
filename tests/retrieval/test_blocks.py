"""What the exact searches share: keys that order scores and labels, and blocks of excluded pairs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from vixml.core.errors import DataError
from vixml.retrieval.blocks import (
    check_finite,
    check_shapes,
    excluded_by_block,
    keys_of,
    scores_and_labels,
    side_by_side,
)

SCORES = st.floats(width=32, allow_nan=False)


@given(st.lists(st.tuples(SCORES, st.integers(0, 2**32 - 2)), min_size=1, max_size=20))
def test_keys_order_by_score_then_by_the_smaller_label(pairs: list[tuple[float, int]]) -> None:
    scores, labels = torch.tensor([s for s, _ in pairs]), torch.tensor([label for _, label in pairs])
    order = torch.argsort(keys_of(scores, labels), descending=True, stable=True).tolist()
    assert order == sorted(range(len(pairs)), key=lambda i: (-pairs[i][0], pairs[i][1]))
    again, names = scores_and_labels(keys_of(scores, labels))
    assert torch.equal(again, scores)
    assert torch.equal(names, labels.masked_fill(scores == float("-inf"), -1))


def test_keys_stand_side_by_side_in_their_rows() -> None:
    row, key = torch.tensor([2, 0, 2, 2]), torch.tensor([5, 6, 7, 8])
    least = torch.iinfo(torch.int64).min
    assert side_by_side(row, key, 3).tolist() == [[6, least, least], [least] * 3, [5, 7, 8]]


@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**16))
def test_every_excluded_pair_is_in_the_block_of_its_label(label_block: int, num_labels: int, seed: int) -> None:
    exclude = sp.random(4, num_labels, density=0.3, format="csr", random_state=seed)
    blocks = list(excluded_by_block(exclude, num_labels, label_block))
    assert len(blocks) == -(-num_labels // label_block)
    found = {
        (int(row), int(column) + number * label_block)
        for number, (rows, columns) in enumerate(blocks)
        for row, column in zip(rows, columns, strict=True)
    }
    assert found == set(zip(*map(np.ndarray.tolist, exclude.nonzero()), strict=True))
    assert all((columns >= 0).all() and (columns < label_block).all() for _, columns in blocks)


@pytest.mark.parametrize(
    ("labels", "k", "exclude", "message"),
    [((5, 3), 0, None, "at least one"), ((5, 4), 1, None, "do not fit"), ((5, 3), 1, (2, 4), "another shape")],
)
def test_arguments_that_contradict_are_named(
    labels: tuple[int, int], k: int, exclude: tuple[int, int] | None, message: str
) -> None:
    matrix = None if exclude is None else sp.csr_matrix(exclude)
    with pytest.raises(DataError, match=message):
        check_shapes(np.zeros((2, 3)), np.zeros(labels), k, matrix)


def test_the_first_vector_that_is_not_finite_is_named() -> None:
    vectors = torch.ones(4, 2)
    check_finite(vectors * torch.finfo(torch.float32).max, "label", 0)  # the sum overflows, no vector does
    vectors[2, 1] = float("nan")
    with pytest.raises(DataError, match="label 12 is not finite"):
        check_finite(vectors, "label", 10)
