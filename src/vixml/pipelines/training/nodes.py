"""Nodes of the `training` stage."""

from __future__ import annotations

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure
from scipy.sparse import csr_matrix

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.pipelines.stage import stage_inputs


def tokenise(
    params: VariantParams,
    items_train: pd.DataFrame,
    items_validation: pd.DataFrame,
    items_test: pd.DataFrame,
    items_label: pd.DataFrame,
    work: WorkDirectory,
) -> Built:
    """Turn the texts of all sides into token ids."""
    from vixml.training.stages import tokenise_sides

    items = {"train": items_train, "validation": items_validation, "test": items_test, "label": items_label}
    return tokenise_sides(items, params.backbone, work.part("tokens_work"))


def train_warmup(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    tokens: SealedDirectory,
    relevance_train: csr_matrix,
    relevance_validation: csr_matrix,
    filter_validation: csr_matrix,
    resume: str,
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
) -> Built:
    """Train on random batches up to the start epoch."""
    from vixml.training.stages import train_warmup as train

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
    return train(inputs, work, resume=resume)


def train_hard(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    tokens: SealedDirectory,
    relevance_train: csr_matrix,
    relevance_validation: csr_matrix,
    filter_validation: csr_matrix,
    resume: str,
    warmup: SealedDirectory,
    hard_negatives: SealedDirectory,
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
) -> tuple[Built, list[dict[str, Any]], list[dict[str, Any]]]:
    """Train on clustered batches to the last epoch; return the model, its learning curve and all refreshes."""
    from vixml.training.stages import train_hard as train

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
    return train(inputs, warmup, hard_negatives, work, resume=resume)


def plot_curve(curve: list[dict[str, Any]], work: WorkDirectory) -> Figure:
    """Draw the learning curve of both stages; its model is on disk by now, so the checkpoints go."""
    from vixml.reporting.figures import learning_curves
    from vixml.training.stages import clear_checkpoints

    clear_checkpoints(work)
    return learning_curves(curve, title="Learning curve")
