"""The stage that fits a ranking with all evidence, and opens it again for evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vixml.core.directories import Built, SealedDirectory, WorkDirectory, write_json
from vixml.data.dataset import Dataset
from vixml.images.bank import ImageBank
from vixml.metrics.propensity import label_weights
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described, ImageRows
from vixml.ranking.fit_evidence import Labelled, fit_evidence
from vixml.ranking.store import open_evidence, save_evidence
from vixml.retrieval.augmentation import Ranker, open_ranker

if TYPE_CHECKING:
    import pandas as pd

KIND = "evidence"


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
    """Train the classifiers, and fit all weights on the validation queries; nothing where labels are ranked otherwise.

    Args:
        params: Settings of the variant.
        evaluation: Propensity model.
        dataset: The ingested data set.
        embeddings: Published embeddings, with `train_queries.npy`, and `validation_queries.npy` where there are any.
        index: Published label index.
        work: Work directory.
        image_bank: The image bank of a variant that looks at images.
    """
    augmentation = params.retrieval.augmentation
    folder = work.fresh("evidence")
    if augmentation.mode != "evidence":
        write_json(folder / "settings.json", {})
        return Built(folder, KIND, {"mode": augmentation.mode})
    bank = None if image_bank is None else ImageBank.open(image_bank.path)
    plain = open_ranker(index.path, embeddings.path, augmentation)

    def side(name: str) -> Labelled:
        items = described(name, dataset.items(name), embeddings, bank, params.model.max_images)
        return Labelled(items, dataset.relevance(name), dataset.filter(name))

    train = side("train")
    ranker, report = fit_evidence(
        train,
        side("validation") if dataset.relevance("validation").shape[0] else None,
        label_texts=dataset.items("label")["text"].tolist(),
        weights=label_weights(train.relevance, evaluation),
        params=augmentation.evidence,
        prototypes=plain.labels,
        texts=plain.texts,
        work=work.path / "classifiers",
    )
    save_evidence(ranker, folder)
    return Built(folder, KIND, {"mode": augmentation.mode, "report": report})


def described(
    side: str, items: pd.DataFrame, embeddings: SealedDirectory, bank: ImageBank | None, max_images: int
) -> Described:
    """Return the queries of one side with their texts, embeddings and images."""
    vectors = np.load(embeddings.path / f"{side}_queries.npy", mmap_mode="r", allow_pickle=False)
    images = None
    if bank is not None:
        rows = bank.images_of(side).truncate(max_images)
        images = ImageRows(bank.vectors[rows.values], rows.offsets)
    return Described(items["text"].tolist(), vectors, images)


def open_ranking(evidence: SealedDirectory, plain: Ranker) -> EvidenceRanker:
    """Open a fitted ranking.

    Args:
        evidence: What `gather_evidence` published.
        plain: The ranking by prototypes, with the indexes over prototypes and label texts.
    """
    return open_evidence(evidence.path, prototypes=plain.labels, texts=plain.texts)
