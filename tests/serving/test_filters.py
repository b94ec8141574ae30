"""Filters of predictions."""

from __future__ import annotations

import pytest

from vixml.core.errors import DataError


def test_filters(predictor):
    best = predictor.predict(["red vase", "blue shoe"], k=48)
    first, second = best[0].label_ids, best[1].label_ids
    excluded = predictor.predict(["red vase", "blue shoe"], k=3, exclude=[first[:2], []])
    assert excluded[0].label_ids == first[2:5]
    assert excluded[1].label_ids == second[:3]
    denied = predictor.predict(["red vase"], k=3, deny=[first[0], "no such label"])
    assert denied[0].label_ids == first[1:4]
    allowed = predictor.predict(["red vase"], k=5, allow=[first[9], first[4], first[30]], deny=[first[30]])
    assert allowed[0].label_ids == (first[4], first[9])
    assert allowed[0].scores == pytest.approx((best[0].scores[4], best[0].scores[9]), abs=1e-6)
    both = predictor.predict(["red vase"], k=5, allow=[first[9], first[4]], exclude=[[first[4]]])
    assert both[0].label_ids == (first[9],)
    with pytest.raises(DataError, match="no label"):
        predictor.predict(["red vase"], allow=["no such label"])
