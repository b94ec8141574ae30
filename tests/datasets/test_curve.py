import json

from vixml.datasets import CurveDataset


def test_a_curve_is_records_and_its_preview_a_figure(tmp_path):
    dataset = CurveDataset(filepath=str(tmp_path / "curve.jsonl"))
    dataset.save([{"step": 1, "epoch": 0, "loss": 0.5}, {"step": 2, "epoch": 1, "loss": 0.25, "validation/P@1": 0.1}])
    assert dataset.load()[1]["loss"] == 0.25
    shown = json.loads(json.dumps(dataset.preview()))
    assert {trace["name"]: trace["y"] for trace in shown["data"]} == {"loss": [0.5, 0.25], "validation/P@1": [0.1]}
