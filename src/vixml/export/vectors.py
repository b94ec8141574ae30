"""Label vectors for a database: a Parquet table, and faiss indexes of four sizes with the recall that each keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import ConfigError
from vixml.retrieval.exact import top_k

if TYPE_CHECKING:
    import pandas as pd

KS = (1, 10, 100)
_BITS_LOOKED_AT = 10
"""A binary search takes so many times the labels wanted, and the float vectors of these are compared."""

Floats = NDArray[np.float32]


def write_table(labels: pd.DataFrame, vectors: Floats, file: Path) -> None:
    """Write a Parquet table: label_id, text, training_queries, vector (a list of float32 of fixed length).

    Args:
        labels: Columns uid, text and frequency, L rows.
        vectors: float32 [L, d].
        file: The file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    table = pa.table(
        {
            "label_id": pa.array(labels["uid"], pa.string()),
            "text": pa.array(labels["text"], pa.string()),
            "training_queries": pa.array(labels["frequency"].to_numpy(), pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )
    pq.write_table(table, file)


def write_indexes(vectors: Floats, queries: Floats, folder: Path) -> list[dict[str, Any]]:
    """Write faiss indexes over label vectors and measure what each keeps of an exact search.

    Args:
        vectors: Label vectors of unit length float32 [L, d].
        queries: Queries to measure with float32 [n, d].
        folder: Where `labels_<form>.faiss` go.

    Returns:
        For each form: `form`, `file`, `bytes` of the file, `recall@k` (share of the exact best k that it finds).

    Raises:
        ConfigError: faiss is not installed.
    """
    faiss = _faiss()
    data, asked = (np.ascontiguousarray(part, dtype=np.float32) for part in (vectors, queries))
    dim, depth = data.shape[1], min(max(KS), len(data))
    exact = top_k(asked, data, depth)[1]
    inner = faiss.METRIC_INNER_PRODUCT
    forms: dict[str, Callable[[], Any]] = {
        "float32": lambda: faiss.IndexFlatIP(dim),
        "float16": lambda: faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, inner),
        "int8": lambda: faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, inner),
    }
    report = []
    for form, make in forms.items():
        index = make()
        if not index.is_trained:
            index.train(data)
        index.add(data)
        file = folder / f"labels_{form}.faiss"
        faiss.write_index(index, str(file))
        report.append(_measured(form, file, index.search(asked, depth)[1], exact))
    report.append(_binary(data, asked, exact, folder / "labels_binary.faiss"))
    return report


def _binary(data: Floats, asked: Floats, exact: NDArray[np.int64], file: Path) -> dict[str, Any]:
    """Write an index over the signs; its candidates are compared by their float vectors, as databases do it."""
    faiss = _faiss()
    bits = -(-data.shape[1] // 8) * 8
    index = faiss.IndexBinaryFlat(bits)
    index.add(_signs(data))
    faiss.write_index_binary(index, str(file))
    found = np.full(exact.shape, -1, dtype=np.int64)
    per_k: dict[str, Any] = {"form": "binary, then float", "file": file.name, "bytes": file.stat().st_size}
    for k in (k for k in KS if k <= exact.shape[1]):
        candidates = index.search(_signs(asked), min(_BITS_LOOKED_AT * k, len(data)))[1]
        score = np.einsum("nd,ncd->nc", asked, data[candidates])
        best = np.argsort(-score, axis=1, kind="stable")[:, :k]
        found[:, :k] = np.take_along_axis(candidates, best, axis=1)
        per_k[f"recall@{k}"] = recall(found[:, :k], exact[:, :k])
    return per_k


def _signs(vectors: Floats) -> NDArray[np.uint8]:
    return np.packbits(vectors > 0, axis=1)


def _measured(form: str, file: Path, found: NDArray[np.int64], exact: NDArray[np.int64]) -> dict[str, Any]:
    recalls = {f"recall@{k}": recall(found[:, :k], exact[:, :k]) for k in KS if k <= exact.shape[1]}
    return {"form": form, "file": file.name, "bytes": file.stat().st_size, **recalls}


def recall(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the share of exact lists [n, k] that is in the lists found [n, k]."""
    hits = (found[:, :, None] == exact[:, None, :]).any(axis=1)
    return float(hits.mean()) if hits.size else 1.0


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as err:
        raise ConfigError(
            "faiss is not installed",
            remedy="install the extra `cpu` or `gpu`, or export without indexes (`--no-indexes`).",
        ) from err
    return faiss
