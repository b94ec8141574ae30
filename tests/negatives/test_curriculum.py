"""The curriculum: the sizes of clusters, and when clusters and mined labels are renewed."""

from __future__ import annotations

from vixml.negatives.curriculum import cluster_size_at, is_clustered, is_due, is_reclustered, refresh_number
from vixml.params.batching import BatchingParams


def test_curriculum_is_the_papers() -> None:
    """Encoder recipe: start 10, update 5, size 16 doubling at 20, 40, ..."""
    params = BatchingParams()
    assert [cluster_size_at(epoch, params) for epoch in (0, 19, 20, 40, 149)] == [16, 16, 32, 64, 1024]
    assert [epoch for epoch in range(30) if is_reclustered(epoch, params)] == [15, 20, 25]
    assert [is_clustered(epoch, params) for epoch in (9, 10)] == [False, True]


def test_when_mined_labels_are_renewed() -> None:
    """Refreshes inside the hard stage count from one; the exact one is number zero."""
    params = BatchingParams(start_epoch=10, update_every=5, double_at=[22])
    assert [refresh_number(epoch, params) for epoch in (10, 14, 15, 20, 22, 25)] == [0, 0, 1, 2, 3, 4]
    assert [number for number in range(7) if is_due(number, 2)] == [2, 4, 6]
    assert not any(is_due(number, 0) for number in range(7))
