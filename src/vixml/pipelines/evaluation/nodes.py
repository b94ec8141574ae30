"""Nodes of the `evaluation` stage."""

from __future__ import annotations

from typing import Any

import pandas as pd
from scipy.sparse import csr_matrix

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.pipelines.stage import stage_inputs


def embed(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    tokens: SealedDirectory,
    relevance_train: csr_matrix,
    relevance_validation: csr_matrix,
    filter_validation: csr_matrix,
    model: SealedDirectory,
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
) -> Built:
    """Embed the test queries and the labels."""
    from vixml.training.stages import embed_test_and_labels

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
    return embed_test_and_labels(inputs, model, work.part("embeddings_work"))


def index(params: VariantParams, embeddings: SealedDirectory, work: WorkDirectory) -> Built:
    """Build the label index."""
    from vixml.evaluation.stages import index_labels

    return index_labels(embeddings, params.retrieval, work.part("index_work"))


def tune_ranking(
    params: VariantParams,
    evaluation: EvaluationParams,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    relevance_train: csr_matrix,
    relevance_validation: csr_matrix,
    filter_validation: csr_matrix,
) -> dict[str, Any]:
    """Settle how labels are ranked; a fused ranking's weights are tuned on the validation split."""
    from vixml.evaluation import stages

    return stages.tune_ranking(
        params,
        evaluation,
        embeddings=embeddings,
        index=index,
        relevance_train=relevance_train,
        relevance_validation=relevance_validation,
        filter_validation=filter_validation,
    )


def bundle(
    params: VariantParams,
    dataset: str,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    ranking: dict[str, Any],
    items_train: pd.DataFrame,
    items_label: pd.DataFrame,
    relevance_train: csr_matrix,
    work: WorkDirectory,
    image_bank: SealedDirectory | None = None,
) -> Built:
    """Gather everything that a prediction needs."""
    from vixml.serving.bundle import build_bundle, bundle_settings

    return build_bundle(
        bundle_settings(params, ranking["augmentation"], dataset=dataset, model=model, image_bank=image_bank),
        model=model,
        embeddings=embeddings,
        index=index,
        items_label=items_label,
        items_train=items_train,
        relevance_train=relevance_train,
        work=work.part("predictor_work"),
    )


def evaluate(
    params: VariantParams,
    evaluation: EvaluationParams,
    dataset: str,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    ranking: dict[str, Any],
    items_test: pd.DataFrame,
    relevance_train: csr_matrix,
    relevance_test: csr_matrix,
    filter_test: csr_matrix,
    work: WorkDirectory,
) -> tuple[dict[str, Any], Built]:
    """Rank the labels of the test queries and measure the ranking."""
    from vixml.evaluation.stages import evaluate_variant

    return evaluate_variant(
        params,
        evaluation,
        dataset=dataset,
        model=model,
        embeddings=embeddings,
        index=index,
        ranking=ranking,
        items_test=items_test,
        relevance_train=relevance_train,
        relevance_test=relevance_test,
        filter_test=filter_test,
        work=work.part("predictions_work"),
    )


def archive_run(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    run_name: str,
    metrics: dict[str, Any],
    predictions: SealedDirectory,
    curve: list[dict[str, Any]],
    refreshes: list[dict[str, Any]],
    items_test: pd.DataFrame,
    items_label: pd.DataFrame,
    relevance_train: csr_matrix,
    relevance_test: csr_matrix,
    filter_test: csr_matrix,
    work: WorkDirectory,
) -> Built:
    """Keep the results of this run, query by query, beside those of earlier runs."""
    from vixml.evaluation import archive

    return archive.archive_run(
        params,
        evaluation,
        seed=seed,
        name=str(run_name),
        result=metrics,
        predictions=predictions,
        curve=curve,
        refreshes=refreshes,
        relevance_train=relevance_train,
        relevance_test=relevance_test,
        test_set=archive.identify_test_set(items_test, items_label, relevance_test, filter_test),
        work=work.part(archive.WORK),
    )
