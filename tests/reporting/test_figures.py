import json

from vixml.reporting.figures import comparison, learning_curves
from vixml.reporting.table import comparison_table


def plain(figure):
    """The figure as Kedro-Viz gets it; packed arrays would be objects with `bdata`."""
    text = figure.to_json()
    assert "bdata" not in text
    return json.loads(text)["data"]


def test_learning_curves_put_metrics_on_the_second_axis():
    records = [{"step": 1, "epoch": 1, "loss": 2.0}, {"step": 2, "epoch": 2, "loss": 1.0, "validation/P@1": 0.5}]
    loss, metric = plain(learning_curves(records, title="t"))
    assert (loss["name"], loss["x"], loss["y"], loss["yaxis"]) == ("loss", [1, 2], [2.0, 1.0], "y")
    assert (metric["x"], metric["y"], metric["yaxis"]) == ([2], [0.5], "y2")


def test_learning_curves_of_nothing():
    assert plain(learning_curves([], title="t")) == []


def test_comparison_has_one_group_of_bars_a_model():
    table = comparison_table({"encoder_text": {"metrics": {"P@1": 0.5}}}, {"base": {"P@1": 0.25, "P@5": 0.1}})
    base, variant = plain(comparison(table, title="t"))
    assert base["y"] == [25.0, 10.0]
    assert variant["y"] == [50.0, None]
