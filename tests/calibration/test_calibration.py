"""The document beside a ranking: written, read back, and what it does not know."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.calibration.worlds import make_ranking

from vixml.calibration.calibration import FILE, UNPUBLISHED, Absent, Calibration, open_calibration, save_calibration
from vixml.calibration.fit import fit_calibration
from vixml.core.errors import StateError
from vixml.params.ranking import CalibrationParams


@pytest.fixture(scope="module")
def world():
    scores, labels, relevance, _, frequencies = make_ranking(300)
    return scores, labels, frequencies, fit_calibration(scores, labels, relevance, frequencies, CalibrationParams())


def test_it_comes_back_equal(world, tmp_path):
    scores, labels, frequencies, calibration = world
    save_calibration(calibration, tmp_path)
    again = open_calibration(tmp_path)
    assert again == calibration
    expected = calibration.probabilities(scores, labels, frequencies)
    np.testing.assert_array_equal(again.probabilities(scores, labels, frequencies), expected)


def test_padding_and_labels_added_later_have_no_probability(world):
    scores, labels, frequencies, calibration = world
    scores, labels, frequencies = scores.copy(), labels.copy(), frequencies.copy()
    scores[0, 10:], labels[0, 10:] = -np.inf, -1
    frequencies[labels[0, 0]] = -1
    found = calibration.probabilities(scores, labels, frequencies)
    assert np.isnan(found[0, 10:]).all()
    assert np.isnan(found[labels == labels[0, 0]]).all()
    assert np.isfinite(found[0, 1:10]).all()
    assert found.dtype == np.float32
    assert calibration.probabilities(scores[:0], labels[:0], frequencies).shape == (0, 30)


def test_why_there_are_none_is_kept(tmp_path):
    assert open_calibration(tmp_path) == Absent(absent=UNPUBLISHED)
    save_calibration(Absent(absent="no validation"), tmp_path)
    assert open_calibration(tmp_path) == Absent(absent="no validation")


@pytest.mark.parametrize("change", [{"curve": None}, {"precision": {}}, {"more": 1}])
def test_a_damaged_document_is_refused(world, tmp_path, change):
    assert isinstance(world[3], Calibration)
    document = {**world[3].model_dump(mode="json"), **change}
    (tmp_path / FILE).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StateError):
        open_calibration(tmp_path)
