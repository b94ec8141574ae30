"""The stage that fits a ranking on validation queries: the weights of all evidence, and probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from vixml.calibration.calibration import NO_VALIDATION, NOT_WANTED, Absent, Calibrated, Calibration, save_calibration
from vixml.calibration.fit import fit_calibration
from vixml.core.directories import Built, SealedDirectory, WorkDirectory, write_json
from vixml.core.errors import StateError
from vixml.data.dataset import Dataset
from vixml.images.bank import ImageBank
from vixml.metrics.propensity import label_frequencies, label_weights
from vixml.models.device import resolve_device
from vixml.params.evaluation import EvaluationParams
from vixml.params.ranking import CalibrationParams
from vixml.params.variant import VariantParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described, ImageRows
from vixml.ranking.fit_evidence import Labelled, fit_evidence
from vixml.ranking.store import open_evidence, save_evidence
from vixml.retrieval.augmentation import Ranker, label_prior, open_ranker

if TYPE_CHECKING:
    import pandas as pd

KIND = "evidence"
VALIDATION = "validation_queries.npy"
_ALL = slice(None)


def gather_evidence(
    params: VariantParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    *,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
) -> Built:
    """Fit on the validation queries what the ranking needs of them: its weights, and the probabilities of its scores.

    Only a ranking with all evidence has weights to fit, and classifiers to train.

    Args:
        params: Settings of the variant.
        evaluation: Propensity model.
        dataset: The ingested data set.
        embeddings: Published embeddings, with `train_queries.npy`, and `validation_queries.npy` where there are any.
        index: Published label index.
        work: Work directory.
        image_bank: The image bank of a variant that looks at images.
    """
    augmentation, calibration = params.retrieval.augmentation, params.retrieval.calibration
    folder = work.fresh("evidence")
    bank = None if image_bank is None else ImageBank.open(image_bank.path)
    has_validation = dataset.relevance("validation").shape[0] > 0
    absent = Absent(absent=NOT_WANTED if calibration is None else NO_VALIDATION)
    if augmentation.mode != "evidence":
        write_json(folder / "settings.json", {})
        found: Calibrated = absent
        if calibration is not None and has_validation:
            found = _calibrate(params, calibration, dataset, embeddings=embeddings, index=index, bank=bank)
        save_calibration(found, folder)
        return Built(folder, KIND, {"mode": augmentation.mode, "calibration": _facts(found)})
    plain = open_ranker(index.path, embeddings.path, augmentation)

    def side(name: str) -> Labelled:
        items = described(name, dataset.items(name), embeddings, bank, params.model.max_images)
        return Labelled(items, dataset.relevance(name), dataset.filter(name))

    train = side("train")
    ranker, report = fit_evidence(
        train,
        side("validation") if has_validation else None,
        label_texts=dataset.items("label")["text"].tolist(),
        weights=label_weights(train.relevance, evaluation),
        params=augmentation.evidence,
        prototypes=plain.labels,
        texts=plain.texts,
        work=work.path / "classifiers",
        calibration=calibration,
    )
    found = ranker.calibration or absent
    save_evidence(replace(ranker, calibration=found), folder)
    facts = {"mode": augmentation.mode, "report": report, "calibration": _facts(found)}
    return Built(folder, KIND, facts)


def _calibrate(
    params: VariantParams,
    calibration: CalibrationParams,
    dataset: Dataset,
    *,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    bank: ImageBank | None,
) -> Calibrated:
    """Fit the probabilities of a ranking that has no weights to fit."""
    ranker = plain_ranker(params, embeddings, index, dataset.relevance("train"))
    imageless = None
    if has_prior(params) and bank is not None:
        imageless = bank.images_of("validation").truncate(params.model.max_images).lengths == 0
    if VALIDATION not in embeddings.files:
        raise StateError(
            "these embeddings have no validation queries, as the probabilities need them",
            file=embeddings.path,
            remedy="run the variant's `evaluation` pipeline again, from its first node.",
        )
    queries = np.load(embeddings.path / VALIDATION, allow_pickle=False)
    exclude = dataset.filter("validation")
    scores, labels = ranker.search(queries, calibration.depth, exclude=exclude, imageless=imageless)
    frequencies = label_frequencies(dataset.relevance("train"))
    return fit_calibration(scores, labels, dataset.relevance("validation"), frequencies, calibration)


def _facts(calibration: Calibrated) -> dict[str, Any]:
    """Return what the manifest says of the probabilities."""
    return calibration.report if isinstance(calibration, Calibration) else calibration.model_dump()


def plain_ranker(
    params: VariantParams, embeddings: SealedDirectory, index: SealedDirectory, relevance_train: csr_matrix
) -> Ranker:
    """Return the ranking by trained vectors, with a blend's searches and a prior as the settings say."""
    augmentation = params.retrieval.augmentation
    prior = label_prior(label_frequencies(relevance_train), params.retrieval) if has_prior(params) else None
    return open_ranker(
        index.path,
        embeddings.path,
        augmentation,
        relevance_train=relevance_train if augmentation.mode != "none" else None,
        prior=prior,
        device=str(resolve_device(params.training.device)),
    )


def has_prior(params: VariantParams) -> bool:
    """Tell whether label frequencies count for queries without an image."""
    return params.model.uses_images and params.retrieval.imageless_prior > 0


def described(
    side: str,
    items: pd.DataFrame,
    embeddings: SealedDirectory,
    bank: ImageBank | None,
    max_images: int,
    rows: slice = _ALL,
) -> Described:
    """Return queries of one side with their texts, embeddings and images; only what belongs to `rows` is read."""
    vectors = np.load(embeddings.path / f"{side}_queries.npy", mmap_mode="r", allow_pickle=False)[rows]
    images = None
    if bank is not None:
        shown = bank.images_of(side).truncate(max_images).take(np.arange(len(items))[rows])
        images = ImageRows(bank.vectors[shown.values], shown.offsets)
    return Described(items["text"].iloc[rows].tolist(), vectors, images)


def open_ranking(evidence: SealedDirectory, plain: Ranker) -> EvidenceRanker:
    """Open a fitted ranking.

    Args:
        evidence: What `gather_evidence` published.
        plain: The ranking by prototypes, with the indexes over prototypes and label texts.
    """
    return open_evidence(evidence.path, prototypes=plain.labels, texts=plain.texts)
