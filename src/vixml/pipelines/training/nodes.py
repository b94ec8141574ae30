"""Nodes of the `training` stage."""

from __future__ import annotations

from typing import Any

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import Dataset
from vixml.data.sides import Side
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.pipelines.stage import variant_data

TRAINING_WORK = "training_work"
"""Folder of the learning curve and the checkpoints; both training nodes share it."""


@works_in("tokens_work")
def tokenise(params: VariantParams, dataset: Dataset, *, work: WorkDirectory) -> Built:
    """Turn the texts of all sides into token ids."""
    from vixml.training.stages import tokenise_sides

    return tokenise_sides({side: dataset.items(side) for side in Side}, params.backbone, work)


@works_in(TRAINING_WORK)
def train_warmup(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    resume: str,
    dataset: Dataset,
    tokens: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    soft_labels: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> Built:
    """Train on random batches up to the start epoch."""
    from vixml.training.ranks.job import run_stage

    data = variant_data(params, dataset, tokens, image_bank, evaluation=evaluation, seed=seed, soft_labels=soft_labels)
    built: Built = run_stage("train_warmup", data, work=work, resume=resume)
    return built


def clear_training(work: WorkDirectory) -> None:
    """Remove the checkpoints of a variant whose model is published."""
    from vixml.training.stages import clear_checkpoints

    clear_checkpoints(work)


@works_in(TRAINING_WORK, afterwards=clear_training)
def train_hard(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    resume: str,
    dataset: Dataset,
    tokens: SealedDirectory,
    warmup: SealedDirectory,
    hard_negatives: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    soft_labels: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> tuple[Built, list[dict[str, Any]], list[dict[str, Any]]]:
    """Train on clustered batches to the last epoch; return the model, its learning curve and all refreshes."""
    from vixml.training.ranks.job import run_stage

    data = variant_data(params, dataset, tokens, image_bank, evaluation=evaluation, seed=seed, soft_labels=soft_labels)
    model, curve, refreshes = run_stage("train_hard", data, warmup, hard_negatives, work=work, resume=resume)
    return model, curve, refreshes
