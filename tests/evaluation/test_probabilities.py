"""What a report says of probabilities, against counts by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.calibration.worlds import make_ranking

from vixml.calibration.calibration import Absent
from vixml.calibration.fit import fit_calibration, true_pairs
from vixml.evaluation.probabilities import TARGETS, probability_report
from vixml.params.ranking import CalibrationParams


@pytest.fixture(scope="module")
def world():
    scores, labels, relevance, _, frequencies = make_ranking(500)
    calibration = fit_calibration(scores, labels, relevance, frequencies, CalibrationParams())
    scores, labels, relevance, _, _ = make_ranking(400, seed=3)
    items = pd.DataFrame({"text": ["a b"] * 400, "images": [["x.png"], []] * 200})
    probabilities = calibration.probabilities(scores, labels, frequencies)
    same = {"items": items, "relevance": relevance, "frequencies": frequencies}
    report = probability_report(calibration, probabilities, labels, **same)
    return report, probabilities, labels, relevance, same


def test_errors_are_small_and_of_the_first_labels(world):
    report, probabilities, labels, relevance, _ = world
    assert list(report["errors"]) == ["@1", "@5", "@10", "@30"]
    assert report["errors"]["@5"]["pairs"] == 5 * 400
    assert report["errors"]["@30"]["equal_width"] < 0.02
    assert report["errors"]["@1"]["precision"] == true_pairs(labels, relevance)[:, 0].mean()
    assert report["errors"]["@1"]["mean_probability"] == pytest.approx(probabilities[:, 0].mean())


def test_groups_add_up(world):
    report, _, _, relevance, _ = world
    counts = {name: sum(point[2] for point in points) for name, points in report["reliability"].items()}
    assert counts["all"] == counts["head"] + counts["torso"] + counts["tail"] == 10 * 400
    first = {name: points[0] for name, points in report["coverage"].items()}
    assert {"all", "head", "torso", "tail", "with image", "without image"} <= set(first)
    true = {name: round(one["labels_per_query"] * one["precision"], 9) for name, one in first.items()}
    assert true["all"] == pytest.approx(true["head"] + true["torso"] + true["tail"])
    assert first["all"]["recall"] == pytest.approx(true["all"] * 400 / relevance.nnz)


def test_coverage_falls_as_the_threshold_rises(world):
    for points in world[0]["coverage"].values():
        assert (np.diff([one["probability"] for one in points]) > 0).all()
        assert (np.diff([one["recall"] for one in points]) <= 0).all()


def test_a_kept_precision_is_that_of_the_threshold(world):
    report, probabilities, labels, relevance, _ = world
    assert [one["target"] for one in report["kept"]] == list(TARGETS)
    half = report["kept"][0]
    chosen = probabilities >= half["validation"]["probability"]
    assert half["test"]["precision"] == pytest.approx(true_pairs(labels, relevance)[chosen].mean())
    assert half["test"]["answered"] == pytest.approx(chosen.any(axis=1).mean())
    assert "no threshold" in report["kept"][-1]["reason"].lower()


def test_without_probabilities_the_report_says_why(world):
    _, probabilities, labels, _, same = world
    found = probability_report(Absent(absent="why"), np.full_like(probabilities, np.nan), labels, **same)
    assert found == {"absent": "why"}


def test_labels_without_a_probability_are_left_out(world):
    _, probabilities, labels, _, same = world
    some = probabilities.copy()
    some[:, 5:] = np.nan
    calibration = fit_calibration(*make_ranking(500)[:3], same["frequencies"], CalibrationParams())
    report = probability_report(calibration, some, labels, **same)
    assert report["errors"]["@10"]["pairs"] == 5 * 400
