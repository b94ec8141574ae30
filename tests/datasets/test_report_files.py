"""Tables and figures of reports: a write that fails leaves the older file whole."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest
from kedro.io import DatasetError

from vixml.datasets.report_files import CSVTableDataset, FigureDataset


def test_a_table_and_a_figure_come_back(tmp_path: Path) -> None:
    table = CSVTableDataset(filepath=str(tmp_path / "t.csv"), save_args={"index": False})
    table.save(pd.DataFrame({"a": [1, 2]}))
    assert table.load()["a"].tolist() == [1, 2]
    figure = FigureDataset(filepath=str(tmp_path / "f.json"))
    figure.save(go.Figure(go.Bar(x=["a"], y=[1])))
    assert list(figure.load().data[0].y) == [1]


class Broken(pd.DataFrame):
    """Fails in the middle of writing itself."""

    def to_csv(self, file: Path, **_: object) -> None:
        file.write_text("half")
        raise RuntimeError("in the middle")


def test_a_write_that_fails_leaves_the_older_table(tmp_path: Path) -> None:
    table = CSVTableDataset(filepath=str(tmp_path / "t.csv"), save_args={"index": False})
    table.save(pd.DataFrame({"a": [1]}))
    with pytest.raises(DatasetError, match="in the middle"):
        table.save(Broken({"a": [2]}))
    assert table.load()["a"].tolist() == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
