"""Node of the `hard_negative_refresh` stage."""

from __future__ import annotations

from typing import Any

from scipy.sparse import csr_matrix

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.pipelines.stage import stage_inputs


def refresh_hard_negatives(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    tokens: SealedDirectory,
    relevance_train: csr_matrix,
    relevance_validation: csr_matrix,
    filter_validation: csr_matrix,
    warmup: SealedDirectory,
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
) -> tuple[Built, dict[str, Any]]:
    """Embed queries and labels exactly, cluster the queries, mine hard negative labels; report what was found."""
    from vixml.training.stages import refresh_hard_negatives as refresh

    inputs = stage_inputs(
        params,
        evaluation,
        seed,
        tokens,
        relevance_train,
        relevance_validation,
        filter_validation,
        image_bank=image_bank,
    )
    return refresh(inputs, warmup, work.part("hard_negatives_work"))
