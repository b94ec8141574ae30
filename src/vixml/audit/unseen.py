"""How likely the labels of training queries are, by evidence that has seen neither the query nor its pairs.

The queries are divided into folds. The labels of a fold are ranked by neighbours and classifiers of the other folds, by
texts and images alone: a trained network has learned the very pairs that are asked about. Weights and probabilities are
fitted on the first fold.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibration
from vixml.core.directories import atomic_file
from vixml.core.errors import DataError
from vixml.core.progress import progress
from vixml.params.data.audit import LabelAuditParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.fit_evidence import Labelled, fit_held_out, with_weights_of

_log = logging.getLogger(__name__)
DEPTH = 100


@dataclass(frozen=True)
class UnseenScores:
    """The best labels of audited training queries.

    Args:
        rows: Rows of the queries among the training queries int64 [m], increasing.
        labels: Their best labels int64 [m, 100], padded with -1.
        probabilities: float32 [m, 100], NaN where there is no label.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def unseen_scores(
    train: Labelled,
    *,
    label_texts: Sequence[str],
    weights: NDArray[np.float64],
    params: LabelAuditParams,
    work: Path,
) -> tuple[UnseenScores, dict[str, Any]]:
    """Rank the labels of the audited queries fold by fold; a killed run goes on at its fold.

    Args:
        train: All training queries.
        label_texts: Text of each label.
        weights: Inverse propensity of each label float64 [L].
        params: Folds, queries, evidence.
        work: Folder of the finished folds; another run's are told apart by its name.

    Returns:
        The scores, and how weights and probabilities were fitted.

    Raises:
        DataError: There are too few pairs to learn from.
    """
    num = len(train)
    count = num if params.max_queries is None else min(num, params.max_queries)
    asked = np.linspace(0, num - 1, count).astype(np.int64) if num else np.zeros(0, dtype=np.int64)
    if num < params.folds:
        raise DataError("there are too few training queries to audit", found=f"{num}", expected=f"{params.folds}")
    fold = np.arange(num) % params.folds
    same: dict[str, Any] = {"label_texts": label_texts, "weights": weights, "params": params.evidence}
    first, report = fit_held_out(
        train.take(np.flatnonzero(fold != 0)),
        train.take(np.flatnonzero(fold == 0)),
        **same,
        calibration=params.calibration,
    )
    if not isinstance(first.calibration, Calibration):
        absent = "" if first.calibration is None else first.calibration.absent
        raise DataError("there are too few pairs to audit", found=absent)
    labels = np.full((count, DEPTH), -1, dtype=np.int64)
    probabilities = np.full((count, DEPTH), np.nan, dtype=np.float32)
    for part in progress(range(params.folds), desc="audit", unit="fold"):
        place = np.flatnonzero(fold[asked] == part)
        file = work / f"fold_{part}.npz"
        if not file.is_file():
            rest = train.take(np.flatnonzero(fold != part))
            ranker = first if part == 0 else with_weights_of(first, rest, **same)
            _save(file, *_ranked(ranker, train.take(asked[place])))
        with np.load(file, allow_pickle=False) as arrays:
            labels[place], probabilities[place] = arrays["labels"], arrays["probabilities"]
    facts = {**first.calibration.report, "metrics": report["metrics"], "queries_audited": count, "folds": params.folds}
    return UnseenScores(asked, labels, probabilities), facts


def _ranked(ranker: EvidenceRanker, queries: Labelled) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    assert isinstance(ranker.calibration, Calibration)
    scores, labels = ranker.search(queries.items, DEPTH, exclude=queries.exclude)
    frequencies = np.bincount(ranker.side.relevance.indices, minlength=ranker.size)
    return labels, ranker.calibration.probabilities(scores, labels, frequencies)


def _save(file: Path, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, labels=labels, probabilities=probabilities)
