"""Mined negatives that are probably labels, against a loop."""

from __future__ import annotations

import numpy as np
from tests.audit.worlds import NUM_LABELS, NUM_QUERIES, by_hand

from vixml.audit.negatives import doubtful_negatives
from vixml.metrics.groups import GROUPS, label_groups


def test_negatives_are_counted_by_group():
    scores, _, listed = by_hand()
    rng = np.random.default_rng(1)
    mined = np.stack([rng.permutation(NUM_LABELS)[:3] for _ in range(NUM_QUERIES)]).astype(np.int32)
    mined[2, 1:] = -1
    frequencies = np.array([30, 9, 8, 3, 2, 0])
    groups = label_groups(frequencies)
    expected = {name: [0, 0] for name in ("all", *GROUPS)}
    for place, row in enumerate(scores.rows):
        for label in mined[row][mined[row] >= 0]:
            for name in ("all", GROUPS[groups[label]]):
                expected[name][0] += 1
                expected[name][1] += listed[place, label] >= 0.4
    found = doubtful_negatives(mined, scores, frequencies, min_probability=0.4)
    assert {name: [one["negatives"], one["doubtful"]] for name, one in found.items()} == expected
    assert found["all"]["share"] == found["all"]["doubtful"] / found["all"]["negatives"]


def test_no_negative_at_all():
    scores, _, _ = by_hand()
    mined = np.full((NUM_QUERIES, 2), -1)
    found = doubtful_negatives(mined, scores, np.ones(NUM_LABELS, dtype=np.int64), min_probability=0.5)
    assert found["all"] == {"negatives": 0, "doubtful": 0, "share": None}
