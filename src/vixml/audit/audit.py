"""The stage that audits training pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vixml.audit.negatives import doubtful_negatives
from vixml.audit.proposals import missing_pairs, proposal_table, wrong_pairs
from vixml.audit.unseen import training_scores
from vixml.core.directories import SealedDirectory, WorkDirectory
from vixml.data.dataset import Dataset
from vixml.metrics.propensity import label_frequencies, label_weights
from vixml.negatives.table import LABELS, MinedTable
from vixml.params.data.audit import LabelAuditParams
from vixml.params.evaluation import EvaluationParams

if TYPE_CHECKING:
    import pandas as pd

_AGAIN = "run the variant's `hard_negative_refresh` pipeline again."


def audit_labels(
    params: LabelAuditParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    *,
    mined: Mapping[str, SealedDirectory | None],
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
    max_images: int = 3,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Propose training pairs to add and to take out.

    Args:
        params: How much is audited and proposed.
        evaluation: Propensity model.
        dataset: The ingested data set.
        mined: Hard negatives of the variants; those whose batches draw from no mined label are left out.
        work: Work directory.
        image_bank: Frozen vectors of the images, where there are any.
        max_images: Images used per query.

    Returns:
        The proposals with an empty column `accept`, and a report.
    """
    relevance = dataset.relevance("train")
    scores, fit = training_scores(
        params,
        dataset,
        weights=label_weights(relevance, evaluation),
        work=work,
        image_bank=image_bank,
        max_images=max_images,
        max_queries=params.max_queries,
    )
    missing = missing_pairs(scores, relevance, params.proposals)
    wrong = wrong_pairs(scores, relevance, params.proposals, min_support=params.min_support)
    frequencies = label_frequencies(relevance)
    doubtful = {
        name: doubtful_negatives(
            MinedTable.open(folder.path, remedy=_AGAIN).labels,
            scores,
            frequencies,
            min_probability=params.min_probability,
        )
        for name, folder in mined.items()
        if folder is not None and (folder.path / LABELS).exists()  # else its batches drew from no mined label
    }
    report = {
        "fit": fit,
        "missing": _summary(missing.probability),
        "wrong": _summary(wrong.probability),
        "min_probability": params.min_probability,
        "mined_negatives": doubtful,
    }
    return proposal_table(missing, wrong, dataset.items("train"), dataset.items("label")), report


def _summary(probability: np.ndarray) -> dict[str, Any]:
    ends = {"highest": float(probability.max()), "lowest": float(probability.min())} if len(probability) else {}
    return {"proposals": len(probability), **ends}
