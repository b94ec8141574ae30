"""The stage that makes soft labels: how likely a teacher finds each label of each training query (Hinton et al., 2015).

The teacher is the ranking with all evidence. Each query is ranked by the evidence of other queries, so that its soft
labels say what its own labels do not: which labels are probably missing, and which are alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from vixml.audit.unseen import UnseenScores, training_scores
from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.errors import ConfigError
from vixml.data.dataset import Dataset
from vixml.data.items import items_fingerprint
from vixml.data.matrix import write_matrix
from vixml.data.sides import Side
from vixml.data.soft_labels import KIND, SOFT_LABELS
from vixml.metrics.propensity import label_weights
from vixml.params.data.distillation import DistillationParams
from vixml.params.evaluation import EvaluationParams


def teach(
    params: DistillationParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    *,
    embeddings: Mapping[str, SealedDirectory | None],
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
    max_images: int = 3,
) -> Built:
    """Build the soft labels of all training queries, at most 100 a query.

    Args:
        params: Teacher, folds, least probability.
        evaluation: Propensity model.
        dataset: The ingested data set.
        embeddings: Variant -> its embeddings, None where it has none.
        work: Work directory; a killed run continues at its fold.
        image_bank: Frozen vectors of the images, where there are any.
        max_images: Images used per query.

    Returns:
        A folder with the probabilities, CSR [N, L], and how the teacher was fitted.

    Raises:
        ConfigError: The teacher is a variant that has not been trained.
        DataError: There are too few training queries to learn from.
    """
    teacher = embeddings.get(params.teacher)
    if params.teacher != "evidence" and teacher is None:
        raise ConfigError(
            "the teacher has not been trained on these data",
            found=params.teacher,
            remedy=f"run `kedro run --pipeline={params.teacher}` first, or set distillation.teacher=evidence.",
        )
    relevance = dataset.relevance("train")
    scores, fit = training_scores(
        params,
        dataset,
        weights=label_weights(relevance, evaluation),
        work=work,
        image_bank=image_bank,
        embeddings=teacher,
        max_images=max_images,
    )
    soft = soft_labels(scores, relevance.shape, params.min_probability)
    folder = work.fresh("soft_labels")
    write_matrix(folder / SOFT_LABELS, soft)
    meta = {
        "teacher": params.teacher,
        "queries": soft.shape[0],
        "labels_per_query": soft.nnz / max(1, soft.shape[0]),
        "items": {side: items_fingerprint(dataset.items(side)) for side in (Side.TRAIN, Side.LABEL)},
        "fit": fit,
    }
    return Built(folder, KIND, meta)


def soft_labels(scores: UnseenScores, shape: tuple[int, int], min_probability: float) -> sp.csr_matrix:
    """Return the probabilities that are high enough, CSR float32 [N, L].

    Args:
        scores: Of the ranked training queries.
        shape: Training queries N and labels L.
        min_probability: The least of them.
    """
    known = (scores.labels >= 0) & (np.nan_to_num(scores.probabilities) >= max(min_probability, 1e-6))
    query, place = np.nonzero(known)
    entries = scores.probabilities[query, place].astype(np.float32)
    return sp.csr_matrix((entries, (scores.rows[query], scores.labels[query, place])), shape=shape)
