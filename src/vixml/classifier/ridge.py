"""Weights of one classifier for each label: ridge regression over ALL training queries, in closed form.

Every query that does not have a label is a negative example of it, yet no negative is ever visited: all labels share
the Gram matrix of the features, which is factorised once; a label then costs the sum of its positives and one solve.
There is no step size and no sampling, so the result is the same at every run and in any block of labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.directories import read_json, write_json
from vixml.core.errors import DataError
from vixml.core.progress import progress
from vixml.core.provenance import fingerprint_json
from vixml.params.classifier import ClassifierParams


def train_classifiers(
    features: NDArray[Any], relevance: sp.csr_matrix, params: ClassifierParams, *, work: Path | None = None
) -> NDArray[np.float32]:
    """Return the weights of every label float32 [L, D]; a label's score of a query is an inner product.

    Args:
        features: Features of the training queries [N, D]; may be a memory map.
        relevance: Their labels, CSR [N, L]; the entries are the targets (1, or a graded relevance).
        params: Regularisation and blocks.
        work: Folder of finished blocks: a killed run continues there, one with other inputs starts again. The weights
            returned are then a memory map.

    Raises:
        DataError: Features and relevance disagree about the number of queries, or a feature is not finite.
    """
    if features.shape[0] != relevance.shape[0]:
        raise DataError(
            "features and labels disagree about the queries",
            found=f"{features.shape[0]} rows of features",
            expected=f"{relevance.shape[0]}",
        )
    num_labels, width = relevance.shape[1], features.shape[1]
    targets = sp.csr_matrix(relevance, dtype=np.float32).T.tocsr()
    gram, check = _gram(features, params.row_block)
    blocks = range(0, num_labels, params.label_block)
    weights = _reserve(work, (num_labels, width), _identity(gram, check, targets, params))
    todo = [begin for begin in blocks if work is None or not _marker(work, begin).exists()]
    if todo:
        gram[np.diag_indices(width)] += params.ridge
        factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        factor = (factor[0].astype(np.float32), factor[1])
    for begin in progress(todo, desc="classifiers", unit="block"):
        block = slice(begin, begin + params.label_block)
        sums = _sums(targets[block], features, params.row_block)
        weights[block] = scipy.linalg.cho_solve(factor, sums.T, overwrite_b=True, check_finite=False).T
        if work is not None and isinstance(weights, np.memmap):
            weights.flush()
            _marker(work, begin).touch()
    return weights


def _gram(features: NDArray[Any], row_block: int) -> tuple[NDArray[np.float64], float]:
    """Return the Gram matrix float64 [D, D], and a sum that distinguishes features with equal Gram matrices."""
    width = features.shape[1]
    gram, check = np.zeros((width, width)), 0.0
    for begin in range(0, len(features), row_block):
        rows = np.asarray(features[begin : begin + row_block], dtype=np.float32)
        gram += rows.T @ rows
        check += float((rows.sum(axis=1, dtype=np.float64) * np.arange(begin + 1, begin + len(rows) + 1)).sum())
    if not np.isfinite(check) or not np.isfinite(gram).all():
        raise DataError("a feature of the classifiers is not a finite number", found=f"{features.shape} features")
    return gram, check


def _sums(targets: sp.csr_matrix, features: NDArray[Any], row_block: int) -> NDArray[np.float32]:
    """Return the sum of each label's positives float32 [labels, D]."""
    sums = np.zeros((targets.shape[0], features.shape[1]), dtype=np.float32)
    columns = targets.tocsc()
    for begin in range(0, len(features), row_block):
        rows = np.asarray(features[begin : begin + row_block], dtype=np.float32)
        sums += columns[:, begin : begin + row_block] @ rows
    return sums


def _identity(gram: NDArray[np.float64], check: float, targets: sp.csr_matrix, params: ClassifierParams) -> str:
    labels = np.arange(1, targets.shape[0] + 1)
    facts = [float(gram.trace()), float(gram.sum()), check, int(targets.nnz), float(targets.data.sum())]
    facts.append(float((labels * (targets @ np.arange(1, targets.shape[1] + 1, dtype=np.float64))).sum()))
    return fingerprint_json({"facts": facts, "params": params.model_dump(mode="json"), "shape": list(gram.shape)})


def _reserve(work: Path | None, shape: tuple[int, int], identity: str) -> NDArray[np.float32]:
    """Return an empty array, or the file of an earlier run with the same inputs."""
    if work is None:
        return np.empty(shape, dtype=np.float32)
    file, marker = work / "weights.npy", work / "inputs.json"
    if marker.exists() and file.exists() and read_json(marker) == {"identity": identity}:
        kept: NDArray[np.float32] = np.lib.format.open_memmap(file, mode="r+")
        return kept
    work.mkdir(parents=True, exist_ok=True)
    for old in work.glob("block_*.done"):
        old.unlink()
    weights: NDArray[np.float32] = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    write_json(marker, {"identity": identity})
    return weights


def _marker(work: Path, begin: int) -> Path:
    return work / f"block_{begin}.done"
