"""The comparison of indexes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vixml.core.directories import WorkDirectory
from vixml.params.retrieval import IndexReportParams, RetrievalParams
from vixml.retrieval.report import index_report, recall


def test_recall_counts_the_true_ids_of_each_row() -> None:
    truth = np.array([[1, 2], [3, -1]])
    assert recall(np.array([[2, 9], [3, -1]]), truth) == 2 / 3
    assert recall(np.array([[3, 4], [1, 2]]), truth) == 0.0  # right ids in the wrong rows
    assert recall(truth, truth) == 1.0


def test_every_candidate_is_measured(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    vectors, queries = (generator.normal(size=(rows, 16)).astype(np.float32) for rows in (400, 50))
    candidates = (
        RetrievalParams(kind="exact"),
        RetrievalParams(kind="faiss-flat"),
        RetrievalParams(kind="faiss-ivf", ivf_lists=16, ivf_probes=1),
        RetrievalParams(kind="faiss-ivf", ivf_lists=16, ivf_probes=16),
        RetrievalParams(kind="faiss-ivfpq", ivf_lists=4, ivf_probes=4, pq_subvectors=4),
    )
    params = IndexReportParams(num_queries=40, ks=(10, 1, 1000), candidates=candidates)
    exact, flat, narrow, wide, small = index_report(vectors, queries, params, WorkDirectory(tmp_path))
    assert exact["recall@1"] == exact["recall@10"] == 1.0
    assert "recall@1000" not in exact  # deeper than there are labels
    assert flat["recall@10"] > 0.99
    assert wide["recall@10"] > 0.99 > narrow["recall@10"] > 0.1
    assert small["bytes"] < flat["bytes"]
    assert narrow["index"] == "faiss-ivf lists 16 probes 1"
    assert all(row["milliseconds_per_query"] > 0 for row in (exact, flat, narrow, wide, small))
