"""What a peer reads and writes: texts and labels of an ingested data set as plain files, and its ranking.

A peer's environment has its own NumPy and no ViXML (PECOS needs NumPy 1), so both sides speak JSON and plain arrays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.data.dataset import Dataset
from vixml.data.matrix import write_matrix
from vixml.metrics.propensity import label_weights
from vixml.metrics.ranking import ranking_metrics
from vixml.params.evaluation import EvaluationParams

KS = (1, 3, 5, 10)


def write_inputs(dataset: Dataset, folder: Path, settings: dict[str, Any]) -> None:
    """Write texts of all sides, the training relevance and the peer's settings.

    The depth grows by the most pairs that are left out of a query's predictions, so that enough labels remain.

    Args:
        dataset: The ingested data set; validation queries count as training queries, as in ViXML's own ranking.
        folder: Where the peer reads.
        settings: Of the peer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sides = ("train", "validation")
    texts = {
        "train": [text for side in sides for text in dataset.items(side)["text"]],
        "test": dataset.items("test")["text"].tolist(),
        "label": dataset.items("label")["text"].tolist(),
    }
    for side, found in texts.items():
        (folder / f"{side}.json").write_text(json.dumps(found), encoding="utf-8")
    write_matrix(folder / "train.npz", sp.csr_matrix(sp.vstack([dataset.relevance(side) for side in sides])))
    left_out = int(np.diff(dataset.filter("test").indptr).max(initial=0))
    depth = min(max(KS) + left_out, len(texts["label"]))
    (folder / "settings.json").write_text(json.dumps({**settings, "depth": depth}), encoding="utf-8")


def measure(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Return the metrics of a peer's ranking, and its seconds.

    Args:
        dataset: The data set that it was given.
        folder: Where it wrote.
    """
    top = without(np.load(folder / "top.npy", allow_pickle=False), dataset.filter("test"))
    weights = label_weights(dataset.relevance("train"), EvaluationParams())
    metrics = ranking_metrics(top[:, : max(KS)], dataset.relevance("test"), weights, KS)
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return {**facts, "metrics": metrics}


def without(top: NDArray[np.int64], excluded: sp.csr_matrix) -> NDArray[np.int64]:
    """Return rankings [n, k] without the excluded pairs, the rest moved up and padded with -1.

    Args:
        top: Labels, best first, -1 for none.
        excluded: Pairs left out, CSR [n, L].
    """
    kept = np.full_like(top, -1)
    for row, labels in enumerate(top):
        gone = excluded.indices[excluded.indptr[row] : excluded.indptr[row + 1]]
        left = labels[(labels >= 0) & ~np.isin(labels, gone)]
        kept[row, : len(left)] = left
    return kept
