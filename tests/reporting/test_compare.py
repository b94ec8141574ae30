"""What a comparison says of every run, which runs it takes, and when it stops a release."""

import dataclasses
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from tests.reporting.conftest import Study, make_test_set

from vixml.core.errors import ConfigError, StateError
from vixml.datasets import RunArchiveDataset
from vixml.params.comparison import ComparisonParams
from vixml.reporting import compare
from vixml.reporting.compare import require_no_regression
from vixml.reporting.gallery import build_gallery
from vixml.reporting.html import render
from vixml.reporting.selection import compared_runs
from vixml.reporting.table import comparison_table
from vixml.reporting.text_tables import markdown_table

FORMER = "20261127T225953.939-3b05b6"
"""Id of the run in tests/golden/former_run."""


@pytest.fixture
def pair(study):
    study.add("encoder_text", 0.2)
    study.add("encoder_vision", 0.9)
    return study


def test_errors_are_said_in_the_words_of_labels_and_queries(pair):
    report, texts = pair.compare(), pair.data.labels["text"].tolist()
    for label, found in report["errors"].items():
        assert found["wrong"] == round((1 - report["variants"][label]["metrics"]["P@1"]) * found["queries"])
        assert found["pairs"], "both runs make errors"
        for one in found["pairs"]:
            assert {one["predicted"], one["true"]} <= set(texts)
            assert one["query"] in pair.data.items["text"].tolist()


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


def test_a_run_of_the_former_version_is_compared_with_one_of_this_one(tmp_path, golden_dir):
    """Its files are as commit 2051920 wrote them; only the test set is another one, which a hash stands for."""
    study = Study(tmp_path, make_test_set(tmp_path / "raw", 40, 40))
    study.add("encoder_text", 0.9)
    folder = tmp_path / "encoder_vision" / "runs"
    shutil.copytree(golden_dir / "former_run", folder / FORMER)
    archive = RunArchiveDataset(filepath=str(folder))
    (former,) = archive.load().runs
    assert archive.preview()["data"][0][0] == former.id == FORMER
    on_these = {**former.document, "test_set": study.data.identity}
    study.archives["encoder_vision"] = [dataclasses.replace(former, document=on_these)]

    report = study.compare("latest")
    assert report["order"] == ["encoder_text", "encoder_vision"]
    kept = former.document["result"]["metrics"]
    assert report["variants"]["encoder_vision"]["metrics"] == kept
    low, high = report["intervals"]["P@1"]["encoder_vision"]
    assert low <= kept["P@1"] <= high
    assert len(report["runs"]["encoder_vision"]["refreshes"]) == 2
    table = comparison_table(report["variants"], None, report["intervals"])
    assert f"{100 * kept['P@1']:.2f}" in markdown_table(table, report)
    gallery = build_gallery(
        compared_runs(study.archives, report), study.data, ComparisonParams(), root=tmp_path / "raw", seed=0
    )
    assert "encoder_vision" in render(report, table, None, gallery)


def test_a_run_of_the_former_version_on_other_data_is_refused_with_what_to_do(study, golden_dir):
    shutil.copytree(golden_dir / "former_run", study.folder / "former" / FORMER)
    study.archives["encoder_vision"] = RunArchiveDataset(filepath=str(study.folder / "former")).load().runs
    with pytest.raises(StateError, match=r"measured on another test set.*evaluate that variant again on the present"):
        study.compare("encoder_vision")
