"""Filters of predictions."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from vixml.core.errors import DataError
from vixml.serving.filters import label_ids, read_label_list


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


def test_an_id_may_be_of_any_type_that_a_file_could_give():
    given = ["L7", 7, 7.0, np.int64(7), np.float64(7), Decimal(7), b"L7"]
    assert label_ids(given) == ["L7", "7", "7", "7", "7", "7", "L7"]
    assert label_ids("L7") == label_ids(pd.Series(["L7"], index=[3])) == label_ids({"L7": 1}) == ["L7"]
    assert label_ids(None) == []


@pytest.mark.parametrize("uid", [None, float("nan"), "", " ", ["L7"], ("L7",), {"id": "L7"}, b"\xff", object()])
def test_what_is_no_id_is_named(uid):
    with pytest.raises(DataError, match=r"not a label id.*such as"):
        label_ids(["L7", uid])


def test_a_single_text_is_one_id_and_none_excludes_nothing(predictor):
    first, second = predictor.predict(["red vase"], k=2)[0].label_ids
    for how in ({"deny": first}, {"exclude": [first]}, {"exclude": first}, {"exclude": [[first, first]]}):
        assert predictor.predict(["red vase"], k=1, **how)[0].label_ids == (second,)
    assert predictor.predict(["red vase"], k=1, allow=second)[0].label_ids == (second,)
    assert predictor.predict(["red vase"], k=1, exclude=[None])[0].label_ids == (first,)


@pytest.mark.parametrize(
    "content", ["L1\r\nL2\r\n\x1a", "\ufeffL1\n\ufefflabel_id\nL2\n", "\ufefflabel_id\nL1\n\ufeffL2"]
)
def test_what_programs_leave_in_a_list_is_no_label(tmp_path, content):
    (tmp_path / "deny.txt").write_text(content, encoding="utf-8")
    assert [uid for uid in read_label_list(tmp_path / "deny.txt") if uid != "label_id"] == ["L1", "L2"]
