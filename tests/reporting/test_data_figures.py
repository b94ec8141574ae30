"""The label frequency figure."""

from __future__ import annotations

import json

import numpy as np
from scipy.sparse import csr_matrix

from vixml.reporting.data_figures import label_frequency_figure


def test_frequencies_by_rank():
    relevance = csr_matrix(np.array([[0, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    line = json.loads(label_frequency_figure(relevance).to_json())
    assert line["data"][0]["x"] == [1, 2]
    assert line["data"][0]["y"] == [3, 1]
    assert "2 of them without" in line["layout"]["title"]["text"]


def test_many_labels_stay_few_points():
    num = 50_000
    relevance = csr_matrix((np.ones(num, dtype=np.float32), (np.zeros(num, dtype=int), np.arange(num))), shape=(1, num))
    trace = label_frequency_figure(relevance).data[0]
    assert 100 < len(trace.x) <= 400
    assert trace.x[-1] == num


def test_no_label_seen():
    assert len(label_frequency_figure(csr_matrix((2, 3), dtype=np.float32)).data[0].x) == 0
