"""What a comparison says of every run, which runs it takes, and when it stops a release."""

from types import SimpleNamespace

import numpy as np
import pytest

from vixml.core.errors import ConfigError, StateError
from vixml.params.comparison import ComparisonParams
from vixml.reporting import compare
from vixml.reporting.compare import require_no_regression


@pytest.fixture
def pair(study):
    study.add("encoder_text", 0.2)
    study.add("encoder_vision", 0.9)
    return study


def test_the_report_holds_everything_about_every_run(pair):
    report = pair.compare()
    assert list(report["variants"]) == list(report["runs"]) == report["order"] == ["encoder_text", "encoder_vision"]
    assert report["missing"] == ["decoder_text", "decoder_vision"]
    assert report["metrics"] == ["P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10"]
    for name in report["metrics"]:
        for label, (low, high) in report["intervals"][name].items():
            assert low <= report["variants"][label]["metrics"][name] <= high
    assert report["pairs"]["P@1"]["low"][1][0] > 0, "far better: significant"
    for at, k in enumerate(report["depths"]["k"]):
        if k in (1, 3, 5, 10):
            for name in ("P", "PSP"):
                expected = report["variants"]["encoder_vision"]["metrics"][f"{name}@{k}"]
                assert report["depths"][name]["encoder_vision"][at] == pytest.approx(expected)
    queries = report["slices"]["queries"]["encoder_vision"]
    assert [queries[kind]["queries"] for kind in ("with image", "without image")] == [64, 16]
    assert sum(group["labels"] for group in report["slices"]["described"]) == 30


def test_a_run_that_was_not_asked_for_is_not_missing(pair):
    """It has been evaluated on this test set; only the others have not."""
    report = pair.compare("encoder_vision")
    assert report["order"] == ["encoder_vision"]
    assert report["missing"] == ["decoder_text", "decoder_vision"]


def test_the_same_comparison_gives_the_same_report(pair):
    assert pair.compare() == pair.compare()


def test_a_metric_that_was_not_kept_is_refused(pair):
    with pytest.raises(ConfigError, match="P@7"):
        pair.compare(metric="P@7")


def test_a_regression_beyond_the_limit_fails_and_names_run_and_drop(study):
    good = study.add("encoder_text", 0.9, name="good")
    study.add("encoder_text", 0.2, seed=1)
    report = study.compare(baseline="good", max_drop=0.5)
    assert {entry["id"] for entry in report["runs"].values()} == {run.id for run in study.archives["encoder_text"]}
    (check,) = report["regression"]["checks"]
    assert not check["ok"]
    assert check["low"] <= check["change"] <= check["high"] < -0.5
    with pytest.raises(
        StateError, match=r"regression: P@1 fell by more than 0.5 points.*against encoder_text \(good\)"
    ):
        require_no_regression(report)
    assert require_no_regression(study.compare(baseline=good.id, max_drop=100))["ok"]


def test_a_better_run_passes_and_without_a_baseline_nothing_is_checked(study):
    study.add("encoder_text", 0.2, name="old")
    study.add("encoder_text", 0.9, seed=1)
    assert require_no_regression(study.compare(baseline="old", max_drop=0))["checks"][0]["change"] > 0
    assert require_no_regression(study.compare()) == {"metric": "P@1", "max_drop": 0.5, "checks": [], "ok": True}


def test_a_baseline_without_a_run_to_check_is_an_error(pair):
    with pytest.raises(StateError, match="no run to check"):
        pair.compare(baseline="encoder_text")


def test_a_later_run_leaves_the_earlier_one_as_it_was(study):
    first = study.add("encoder_text", 0.3)
    before = (first.labels.copy(), first.metrics.values["P@1"].copy())
    study.add("encoder_text", 0.9, seed=1)
    again = study.archives["encoder_text"][1]
    assert again.id == first.id
    np.testing.assert_array_equal(again.labels, before[0])
    np.testing.assert_array_equal(again.metrics.values["P@1"], before[1])
    assert again.metrics.mean()["P@1"] == pytest.approx(again.document["result"]["metrics"]["P@1"])
    assert ComparisonParams().confidence == 0.95


@pytest.mark.parametrize(
    ("result", "taught"), [({}, False), ({"teacher": None}, False), ({"teacher": "evidence"}, True)]
)
def test_a_teacher_is_among_the_settings_that_differ(result, taught):
    kept = dict.fromkeys(("id", "name", "mlflow_id", "git_commit", "created", "curve"))
    document = {**kept, "settings": {"seed": 0}, "result": result, "refreshes": []}
    entry = SimpleNamespace(variant="encoder_text", run=SimpleNamespace(document=document))
    expected = {"seed": 0} if not taught else {"seed": 0, "distillation": {"teacher": "evidence"}}
    assert compare._identity(entry)["settings"] == expected
