"""What a comparison says of the best run: ahead, level, or below a baseline, and by how much."""

from __future__ import annotations

from typing import Any

import pytest

from vixml.reporting.verdict import headline, verdicts


def _report(
    baseline: float | None, *, other: float = 0.4, width: float = 0.03, ranking: str = "none"
) -> dict[str, Any]:
    values = {"first": 0.6, "second": other}
    order = list(values)
    difference = [[values[a] - values[b] for b in order] for a in order]
    return {
        "metric": "P@1",
        "metrics": ["P@1"],
        "order": order,
        "variants": {name: {"metrics": {"P@1": value}, "ranking": ranking} for name, value in values.items()},
        "baselines": {} if baseline is None else {"text kNN": {"P@1": baseline}, "label frequency": {"P@1": 0.1}},
        "intervals": {"P@1": {name: [value - width, value + width] for name, value in values.items()}},
        "pairs": {
            "P@1": {
                "low": [[value - 0.02 for value in row] for row in difference],
                "high": [[value + 0.02 for value in row] for row in difference],
            }
        },
    }


@pytest.mark.parametrize(
    ("baseline", "other", "state", "said"),
    [
        (
            0.50,
            0.4,
            "ahead",
            "leads at P@1 with 60.00 % (57.0 to 63.0); +10.00 points over the best baseline, text kNN",
        ),
        (0.58, 0.4, "level", "level with the best baseline at P@1: 60.00 % (57.0 to 63.0), text kNN 58.00 %, +2.00"),
        (0.62, 0.4, "level", "-2.00 points, within the interval"),
        (0.70, 0.4, "below", "BELOW the best baseline at P@1: 60.00 % (57.0 to 63.0), text kNN 70.00 %, -10.00 points"),
        (0.50, 0.59, "level", "level with second at P@1"),
        (None, 0.4, "ahead", "leads at P@1 with 60.00 %"),
        (None, 0.59, "level", "level with second at P@1"),
    ],
)
def test_states(baseline: float | None, other: float, state: str, said: str) -> None:
    found = verdicts(_report(baseline, other=other))["P@1"]
    assert (found["run"], found["state"]) == ("first", state)
    assert said in found["text"]
    assert ("leads" in found["text"]) == (state == "ahead")


def test_of_equal_runs_the_one_that_is_better_elsewhere_is_named() -> None:
    report = _report(0.5, other=0.6)
    report["variants"]["second"]["metrics"]["R@10"] = 0.9
    assert verdicts(report)["P@1"]["run"] == "second"
    assert verdicts(_report(0.5, other=0.6))["P@1"]["run"] == "first"


def test_what_to_try_depends_on_the_ranking() -> None:
    plain, full = (verdicts(_report(0.7, ranking=mode))["P@1"]["text"] for mode in ("none", "evidence"))
    assert "mode=evidence" in plain
    assert "mode=evidence" not in full
    assert "training.epochs" in full


def test_the_headline_also_names_other_metrics_that_are_below() -> None:
    report = _report(0.5)
    lost = {"run": "first", "state": "below", "gap": -1.0, "text": " is BELOW ..."}
    won = {"run": "first", "state": "ahead", "gap": 1.0, "text": " leads ..."}
    report["verdicts"] = {"P@5": lost, "P@1": won, "R@10": won}
    assert headline(report) == ["first leads ...", "first is BELOW ..."]
    assert headline({"metric": "P@1"}) == []


def test_where_one_metric_does_not_decide_the_first_that_does_is_said() -> None:
    """Nearly every first label is right, by the baselines as well: the others are where models differ."""
    report = _report(0.6)
    more = _report(0.5)
    more["variants"]["second"]["metrics"]["P@1"] = 0.7  # another run may be the best one there
    for name in ("P@5", "R@10"):
        report["metrics"].append(name)
        for run, entry in report["variants"].items():
            entry["metrics"][name] = more["variants"][run]["metrics"]["P@1"]
        report["baselines"]["text kNN"][name] = 0.5
        report["intervals"][name] = {
            run: [entry["metrics"][name] - 0.03, 1] for run, entry in report["variants"].items()
        }
        report["pairs"][name] = {"low": [[0, -0.2], [0.05, 0]], "high": [[0, -0.05], [0.2, 0]]}
    report["verdicts"] = verdicts(report)
    assert report["verdicts"]["P@1"]["also"] == "P@5"
    assert report["verdicts"]["P@5"]["also"] is None
    level, ahead = headline(report)
    assert level.startswith("first is level with the best baseline at P@1")
    assert ahead.startswith("second leads at P@5 with 70.00 %")
