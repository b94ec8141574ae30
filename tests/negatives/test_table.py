"""The table of mined labels on disk, draws from it, and what a batch leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from tests.negatives.worlds import mining_params, ragged

from vixml.core.errors import StateError
from vixml.negatives.mining import mine_labels
from vixml.negatives.table import MinedTable


def test_draws_are_different_labels_of_the_querys_own() -> None:
    """Every one of a query's labels comes up, none twice in a draw, and padding never."""
    mined = np.array([[3, 5, 8, -1], [-1, -1, -1, -1], [1, -1, 2, 9]], dtype=np.int32)
    table = MinedTable(mined, ragged([[], [], []]))
    seen: set[int] = set()
    for step in range(50):
        drawn = table.draw(np.array([0, 1]), 2, np.random.default_rng(step))
        assert len(drawn) == len(set(drawn)) == 2
        seen |= set(drawn.tolist())
    assert seen == {3, 5, 8}
    assert sorted(table.draw(np.array([2, 0]), 4, np.random.default_rng(0))) == [1, 2, 3, 5, 8, 9]
    same = MinedTable(mined, ragged([[2], [], [8, 7]]))  # what one query must not have, none of the batch gets
    assert sorted(same.draw(np.array([2, 0]), 4, np.random.default_rng(0))) == [1, 3, 5, 9]
    assert sorted(same.draw(np.array([0]), 4, np.random.default_rng(0))) == [3, 5, 8]


@pytest.mark.parametrize("left_out", [[[2], [], [8, 7]], [[], [], []]])
def test_a_table_on_disk(tmp_path: Path, left_out: list[list[int]]) -> None:
    """Opened again it draws the same; one that does not say what was left out is refused with the way on."""
    table = MinedTable(np.array([[3, 5, 8], [-1, -1, -1], [1, 2, 9]], dtype=np.int32), ragged(left_out))
    table.save(tmp_path)
    again = MinedTable.open(tmp_path, remedy="do this.")
    drawn = [part.draw(np.array([2, 0]), 2, np.random.default_rng(0)).tolist() for part in (table, again)]
    assert drawn[0] == drawn[1]
    again.save(tmp_path / "..")  # from the memory map, as a later checkpoint does
    (tmp_path / "near_duplicate_offsets.npy").unlink()
    with pytest.raises(StateError, match=r"lack the record of near-duplicates.*do this"):
        MinedTable.open(tmp_path, remedy="do this.")


def test_no_query_of_a_batch_meets_a_near_duplicate_that_another_one_mined() -> None:
    """Families of three nearly equal labels, batches of similar queries: the pool's mined labels are safe for all."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.standard_normal((40, 16)), 3, axis=0) + 0.03 * rng.standard_normal((120, 16))
    true = rng.integers(0, 120, 300)
    queries = labels[true] + 0.1 * rng.standard_normal((300, 16))
    labels, queries = (
        (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32) for rows in (labels, queries)
    )
    relevance = sp.csr_matrix((np.ones(300, np.float32), (np.arange(300), true)), shape=(300, 120))
    mined = mine_labels(queries, labels, labels, relevance, params=mining_params(8, (0.95, None)), device="cpu")
    near = labels @ labels.T >= 0.95
    rows = np.argsort(queries @ labels[0])[:64]
    met = np.unique(MinedTable(mined.labels, ragged([[]] * 300)).draw(rows, 3, rng))
    assert (near[true[rows]][:, met] & (true[rows][:, None] != met)).any(), "without the list they do"
    met = np.unique(MinedTable(mined.labels, mined.duplicates).draw(rows, 3, rng))
    assert len(met) > 20
    assert not (near[true[rows]][:, met] & (true[rows][:, None] != met)).any()
