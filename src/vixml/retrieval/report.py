"""Which index is worth its errors: speed, size and recall against exact search."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.directories import WorkDirectory
from vixml.core.progress import progress
from vixml.params.retrieval import IndexReportParams, RetrievalParams
from vixml.retrieval.exact import top_k
from vixml.retrieval.index import build_index, open_index

_SETTINGS = {
    "faiss-hnsw": ("hnsw_neighbours", "hnsw_search_depth"),
    "faiss-ivf": ("ivf_lists", "ivf_probes"),
    "faiss-ivfpq": ("ivf_lists", "ivf_probes", "pq_subvectors"),
}


def index_report(
    vectors: NDArray[Any],
    queries: NDArray[Any],
    params: IndexReportParams,
    work: WorkDirectory,
    *,
    device: str | None = None,
) -> list[dict[str, Any]]:
    """Build, save and open every candidate index, search it, and compare with exact search.

    Args:
        vectors: Label vectors [L, d].
        queries: Query vectors [n, d]; the first `params.num_queries` are searched, all at once.
        params: Candidates and depths.
        work: Where the indexes are saved for a moment.
        device: Where exact search, and faiss built for GPUs, run.

    Returns:
        A row each candidate: `index` (kind and settings), `kind`, `build_seconds`, `milliseconds_per_query`, `bytes`
        (of the saved index; about what it takes in memory), and `recall@k`: the share of the exact top k it finds.
    """
    queries = np.asarray(queries[: params.num_queries], dtype=np.float32)
    ks = [k for k in params.ks if k <= len(vectors)] or [len(vectors)]
    _, truth = top_k(queries, vectors, ks[-1], device=device)
    rows = []
    for candidate in progress(params.candidates, desc="indexes", unit="index"):
        folder = work.fresh("index")
        started = time.perf_counter()
        build_index(vectors, candidate, device=device).save(folder)
        built = time.perf_counter()
        index = open_index(folder, device=device)
        index.search(queries[:1], 1)  # page the index in
        began = time.perf_counter()
        _, found = index.search(queries, ks[-1])
        seconds = time.perf_counter() - began
        row = {
            "index": describe(candidate),
            "kind": candidate.kind,
            "build_seconds": round(built - started, 3),
            "milliseconds_per_query": 1000 * seconds / max(1, len(queries)),
            "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        }
        rows.append(row | {f"recall@{k}": recall(found[:, :k], truth[:, :k]) for k in ks})
    return rows


def describe(params: RetrievalParams) -> str:
    """Return kind and settings of an index, as `faiss-ivf lists 0 probes 32`."""
    names = _SETTINGS.get(params.kind, ())
    settings = (f"{name.split('_', 1)[1].replace('_', ' ')} {getattr(params, name)}" for name in names)
    return " ".join([params.kind, *settings])


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the share of true ids [n, k] that are among the found ones [n, k] of their row; -1 is padding."""
    real = truth >= 0
    width = int(max(truth.max(initial=0), found.max(initial=0))) + 2
    offset = np.arange(len(truth))[:, None] * width
    hits = np.isin((truth + offset)[real], (found + offset)[found >= 0])
    return float(hits.mean()) if hits.size else 1.0
