"""How likely the labels of training queries are, by evidence that has seen neither the query nor its pairs.

The queries are divided into folds. The labels of a fold are ranked by neighbours and classifiers of the other folds, by
texts and images alone: a trained network has learned the very pairs that are asked about. Weights and probabilities are
fitted on the first fold.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibration
from vixml.core.directories import SealedDirectory, WorkDirectory, atomic_file
from vixml.core.errors import DataError, StateError
from vixml.core.progress import progress
from vixml.core.provenance import fingerprint_json
from vixml.data.dataset import Dataset
from vixml.images.bank import ImageBank
from vixml.params.data.audit import UnseenParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described, ImageRows
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


def training_scores(
    params: UnseenParams,
    dataset: Dataset,
    *,
    weights: NDArray[np.float64],
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
    embeddings: SealedDirectory | None = None,
    max_images: int = 3,
    max_queries: int | None = None,
) -> tuple[UnseenScores, dict[str, Any]]:
    """Rank the labels of a data set's training queries by their words, their images and the other queries' labels.

    Args:
        params: Folds and evidence.
        dataset: The ingested data set.
        weights: Inverse propensity of each label float64 [L].
        work: Work directory; finished folds of other settings or data are removed from it.
        image_bank: Frozen vectors of the images, where there are any.
        embeddings: Of a trained variant, whose embeddings of the training queries are one more space; None: none are.
        max_images: Images used per query.
        max_queries: Queries that are ranked, spread evenly over all; None for all.

    Returns:
        The scores, and how weights and probabilities were fitted.

    Raises:
        DataError: There are too few pairs to learn from.
        StateError: The variant's embeddings hold none of the training queries, or those of another data set.
    """
    queries, images = dataset.items("train"), None
    if image_bank is not None:
        bank = ImageBank.open(image_bank.path)
        rows = bank.images_of("train").truncate(max_images)
        images = ImageRows(bank.vectors[rows.values], rows.offsets)
    embedded = _embedded(embeddings, len(queries))
    train = Labelled(
        Described(queries["text"].tolist(), embedded, images), dataset.relevance("train"), dataset.filter("train")
    )
    read = [None if folder is None else folder.fingerprint for folder in (dataset.directory, image_bank, embeddings)]
    key = fingerprint_json([params.model_dump(mode="json"), *read, max_images, max_queries])
    folds = work.path / f"folds-{key[:24]}"
    for stale in set(work.path.glob("folds-*")) - {folds}:
        shutil.rmtree(stale)
    texts = dataset.items("label")["text"].tolist()
    return unseen_scores(train, label_texts=texts, weights=weights, params=params, work=folds, max_queries=max_queries)


def _embedded(embeddings: SealedDirectory | None, count: int) -> NDArray[np.floating]:
    """Return a variant's embeddings of the training queries [N, d]; without a variant a constant, [N, 1]."""
    if embeddings is None:
        return np.ones((count, 1), dtype=np.float32)
    file = embeddings.path / "train_queries.npy"
    found = np.load(file, allow_pickle=False).astype(np.float32) if file.exists() else None
    if found is None or len(found) != count:
        raise StateError(
            "this variant has no embeddings of these training queries",
            file=file,
            found="no such file" if found is None else f"{len(found):,} queries",
            expected=f"{count:,}",
            remedy="train the variant on these data with retrieval.augmentation.mode=evidence, or with "
            "retrieval.train_queries=true.",
        )
    return found


def unseen_scores(
    train: Labelled,
    *,
    label_texts: Sequence[str],
    weights: NDArray[np.float64],
    params: UnseenParams,
    work: Path,
    max_queries: int | None = None,
) -> tuple[UnseenScores, dict[str, Any]]:
    """Rank the labels of the audited queries fold by fold; a killed run continues at its fold.

    Args:
        train: All training queries.
        label_texts: Text of each label.
        weights: Inverse propensity of each label float64 [L].
        params: Folds and evidence.
        work: Folder of the finished folds; another run's are told apart by its name.
        max_queries: Queries that are ranked, spread evenly over all; None for all.

    Returns:
        The scores, and how weights and probabilities were fitted.

    Raises:
        DataError: There are too few pairs to learn from.
    """
    num = len(train)
    count = num if max_queries is None else min(num, max_queries)
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
