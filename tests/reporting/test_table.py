import pytest

from vixml.core.errors import StateError
from vixml.reporting.table import comparison_table, numeric_columns, print_table

RESULT = {
    "variant": "encoder_text",
    "metrics": {"P@1": 0.5, "P@5": 0.25, "R@10": 0.125},
    "seconds": {"training": 90.0, "embedding": 30.0},
    "num_parameters": 1_500_000,
    "peak_memory_bytes": 2**30,
}
BASELINES = {"most frequent labels": {"P@1": 0.1, "P@5": 0.05, "R@10": 0.2}}


def test_rows_are_baselines_then_variants_in_percent_with_cost():
    table = comparison_table({"encoder_text": RESULT, "encoder_vision": None}, BASELINES)
    assert list(table.columns) == ["model", "kind", "P@1", "P@5", "R@10", "minutes", "GiB", "M parameters"]
    assert table["model"].tolist() == ["most frequent labels", "encoder_text"]
    assert table["P@1"].tolist() == [10.0, 50.0]
    assert table.loc[1, ["minutes", "GiB", "M parameters"]].tolist() == [2.0, 1.0, 1.5]


def test_a_baseline_that_was_measured_on_some_queries_says_so():
    table = comparison_table({"encoder_text": RESULT}, {"text kNN": {"P@1": 0.1, "queries": 50_000.0}})
    assert table["model"].tolist() == ["text kNN, 50,000 queries", "encoder_text"]
    assert list(table.columns)[:3] == ["model", "kind", "P@1"]


def test_nothing_to_compare_says_what_to_run():
    with pytest.raises(StateError, match="--pipelines=encoder_text"):
        comparison_table({"encoder_text": None}, BASELINES)


def test_bounds_of_intervals_stand_behind_and_are_not_printed(capsys):
    table = comparison_table({"encoder_text": RESULT}, BASELINES, {"P@1": {"encoder_text": (0.45, 0.551)}})
    assert table.columns.tolist()[-2:] == ["P@1 low", "P@1 high"]
    assert table.loc[1, ["P@1 low", "P@1 high"]].tolist() == [45.0, 55.1]
    assert numeric_columns(table) == ["P@1", "P@5", "R@10", "minutes", "GiB", "M parameters"]
    print_table(table, report={"dataset": "demo", "missing": []})
    assert "low" not in capsys.readouterr().out


def test_the_table_is_printed_whole(capsys):
    results = {"encoder_text": RESULT, "encoder_vision": None}
    print_table(comparison_table(results, BASELINES), report={"dataset": "demo", "missing": ["encoder_vision"]})
    printed = capsys.readouterr().out
    assert "50.00" in printed
    assert "Not evaluated yet: encoder_vision" in printed
    assert "nan" not in printed


def test_slices_are_columns_of_the_table_and_printed_below(capsys):
    slices = {
        "labels": {"head": {"recall@10": 0.8}, "torso": {"recall@10": 0.5}, "tail": {"recall@10": None}},
        "queries": {"with image": {"queries": 3, "P@1": 0.25}, "without image": {"queries": 0, "P@1": 0.0}},
        "never_predicted": {"@10": 0.125},
    }
    table = comparison_table({"encoder_text": {**RESULT, "slices": slices}}, BASELINES)
    expected = {"recall@10 head": 80.0, "recall@10 torso": 50.0, "P@1 with image": 25.0, "in no top 10": 12.5}
    assert table.loc[1, list(expected)].to_dict() == expected
    assert not {"recall@10 tail", "P@1 without image"} & set(table.columns)
    print_table(table, report={"dataset": "demo", "missing": []})
    printed = capsys.readouterr().out
    assert "where it works" in printed
    assert "12.50" in printed


def test_slices_of_queries_follow_the_metric_of_the_comparison(capsys):
    slices = {
        "labels": {},
        "queries": {"with image": {"queries": 3, "P@1": 0.25, "R@10": 0.625}},
        "never_predicted": {},
    }
    table = comparison_table({"encoder_text": {**RESULT, "slices": slices}}, BASELINES, metric="R@10")
    assert table.loc[1, "R@10 with image"] == 62.5
    assert "P@1 with image" not in table
    print_table(table, report={"dataset": "demo", "missing": [], "metric": "R@10"})
    printed = capsys.readouterr().out
    assert "62.50" in printed
    assert "25.00" not in printed.partition("where it works")[2]


def test_what_to_try_is_printed_once(capsys):
    verdicts = {
        name: {"run": "encoder_text", "state": "below", "text": f" is BELOW at {name}. To try: more."}
        for name in ("P@1", "P@5")
    }
    report = {"dataset": "demo", "missing": [], "metric": "P@1", "verdicts": verdicts}
    print_table(comparison_table({"encoder_text": RESULT}, BASELINES), report=report)
    printed = capsys.readouterr().out
    assert printed.count("BELOW") == 2
    assert printed.count("To try") == 1
