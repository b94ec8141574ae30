"""The figure of label indexes: a point for each, at the greatest depth, area by size."""

from __future__ import annotations

import pandas as pd
import pytest

from vixml.reporting.index_figure import recall_and_speed


def test_every_index_is_a_point_and_its_area_its_size() -> None:
    table = pd.DataFrame(
        {
            "index": ["exact", "faiss-hnsw"],
            "milliseconds_per_query": [2.0, 0.5],
            "recall@10": [1.0, 0.9],
            "recall@100": [1.0, 0.7],
            "recall@5": [1.0, 0.95],
            "bytes": [4_000_000, 1_000_000],
        }
    )
    figure = recall_and_speed(table)
    (points,) = figure.data
    assert list(points.text) == ["exact", "faiss-hnsw"]
    assert list(points.x) == [2.0, 0.5]
    assert list(points.y) == [1.0, 0.7], "at depth 100, the greatest by number"
    assert "recall@100" in figure.layout.title.text
    large, small = (diameter - 12 for diameter in points.marker.size)
    assert (large / small) ** 2 == pytest.approx(4)
    assert [row[0] for row in points.customdata] == ["4.0 MB", "1.0 MB"]


def test_an_index_of_no_bytes_is_drawn() -> None:
    table = pd.DataFrame({"index": ["x"], "milliseconds_per_query": [1.0], "recall@1": [1.0], "bytes": [0]})
    assert recall_and_speed(table).data[0].marker.size == (12,)
