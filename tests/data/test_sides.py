"""The one vocabulary of sides."""

from __future__ import annotations

import json

from vixml.data.sides import QUERY_SIDES, SHORT_NAMES, Side


def test_a_side_is_its_name_wherever_a_text_is_expected():
    assert f"items_{Side.TRAIN}" == "items_train"
    assert {"label": 1}[Side.LABEL] == 1
    assert json.dumps({Side.TEST: [Side.VALIDATION]}) == '{"test": ["validation"]}'


def test_codes_follow_the_order_training_validation_test_labels():
    assert [side.code for side in (*QUERY_SIDES, Side.LABEL)] == [0, 1, 2, 3]


def test_raw_files_have_no_side_of_their_own_for_validation():
    assert SHORT_NAMES == {"train": "trn", "test": "tst", "label": "lbl"}
