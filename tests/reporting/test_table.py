import pytest

from vixml.core.errors import StateError
from vixml.reporting.table import comparison_report, comparison_table, print_table

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


def test_nothing_to_compare_says_what_to_run():
    with pytest.raises(StateError, match="--pipelines=encoder_text"):
        comparison_table({"encoder_text": None}, BASELINES)


def test_the_report_names_the_missing_variants():
    report = comparison_report({"encoder_text": RESULT, "encoder_vision": None}, None, dataset="demo")
    assert report["missing"] == ["encoder_vision"]
    assert report["variants"] == {"encoder_text": RESULT}


def test_the_table_is_printed_whole(capsys):
    results = {"encoder_text": RESULT, "encoder_vision": None}
    print_table(comparison_table(results, BASELINES), report=comparison_report(results, BASELINES, dataset="demo"))
    printed = capsys.readouterr().out
    assert "50.00" in printed
    assert "Not evaluated yet: encoder_vision" in printed
    assert "nan" not in printed
