"""Wrong first labels are counted under the true label that they are closest to."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.evaluation.confusions import confusions

TEXTS = ["arrow", "arrows", "car", "wheel", "tree", ""]
ARROW, ARROWS, CAR, WHEEL, TREE, EMPTY = range(6)


def _matrix(rows: list[list[int]]) -> sp.csr_matrix:
    dense = np.zeros((len(rows), len(TEXTS)), np.float32)
    for row, labels in enumerate(rows):
        dense[row, labels] = 1
    return sp.csr_matrix(dense)


TRAIN = _matrix([[CAR, WHEEL], [CAR, WHEEL, TREE], [CAR], [ARROW], [TREE]])


def _find(top: list[list[int]], true: list[list[int]], **settings: int) -> dict:
    return confusions(np.array(top, np.int32), _matrix(true), texts=TEXTS, relevance_train=TRAIN, **settings)


def test_a_wrong_first_label_belongs_to_the_closest_true_one() -> None:
    top = [[ARROWS, ARROW], [ARROWS, CAR], [WHEEL, CAR], [TREE, CAR], [CAR, TREE], [-1, -1], [CAR, TREE]]
    true = [[ARROW, CAR], [ARROW], [CAR, TREE], [ARROW], [CAR], [CAR], []]
    found = _find(top, true)
    assert (found["queries"], found["wrong"], found["examined"]) == (5, 4, 4)
    arrows, wheel, tree = sorted(found["pairs"], key=lambda pair: -pair["count"])
    assert (arrows["predicted"], arrows["true"], arrows["count"], arrows["query"]) == (ARROWS, ARROW, 2, 0)
    assert arrows["similarity"] >= 0.7
    assert arrows["together"] == 0, "the only training query of `arrow` has no `arrows`"
    pair = {(one["predicted"], one["true"]): one for one in (wheel, tree)}
    assert pair[WHEEL, CAR]["together"] == 2 / 3, "of three cars two have a wheel"
    assert pair[WHEEL, CAR]["similarity"] < 0.7
    assert pair[TREE, ARROW]["together"] == 0
    assert [one["excuse"] for one in (arrows, pair[WHEEL, CAR], pair[TREE, ARROW])] == ["near_text", "together", None]
    assert found["near_text"] == 0.5
    assert found["together"] == 0.25


def test_a_label_without_training_queries_has_no_company() -> None:
    (pair,) = _find([[CAR]], [[ARROWS]])["pairs"]
    assert pair["together"] is None
    (pair,) = _find([[CAR]], [[EMPTY]])["pairs"]
    assert pair["similarity"] == 0


def test_the_most_frequent_pairs_come_first_and_only_so_many() -> None:
    top, true = [[TREE]] * 3 + [[CAR]], [[CAR], [CAR], [ARROW], [TREE]]
    found = _find(top, true, shown=2)
    assert [(pair["predicted"], pair["true"], pair["count"]) for pair in found["pairs"]] == [
        (TREE, CAR, 2),
        (CAR, TREE, 1),
    ]


def test_nothing_is_wrong() -> None:
    found = _find([[CAR]], [[CAR]])
    assert (found["wrong"], found["examined"], found["pairs"], found["near_text"]) == (0, 0, [], 0.0)
