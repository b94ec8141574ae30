"""Nodes of the `evaluation` stage."""

from __future__ import annotations

from typing import Any

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import Dataset
from vixml.evaluation import archive
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.pipelines.stage import variant_data


@works_in("embeddings_work")
def embed(
    params: VariantParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    tokens: SealedDirectory,
    model: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> Built:
    """Embed the test queries and the labels."""
    from vixml.training.ranks.job import run_stage

    data = variant_data(params, dataset, tokens, image_bank, evaluation=evaluation)
    built: Built = run_stage("embed", data, model, work=work)
    return built


@works_in("index_work")
def index(params: VariantParams, embeddings: SealedDirectory, *, work: WorkDirectory) -> Built:
    """Build the label index."""
    from vixml.evaluation.stages import index_labels

    return index_labels(embeddings, params.retrieval, work)


@works_in("evidence_work")
def gather_evidence(
    params: VariantParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> Built:
    """Train one classifier for each label, and fit a ranking with all evidence on the validation split."""
    from vixml.evaluation import evidence

    return evidence.gather_evidence(
        params, evaluation, dataset, embeddings=embeddings, index=index, image_bank=image_bank, work=work
    )


@works_in("predictor_work")
def bundle(
    params: VariantParams,
    name: str,
    dataset: Dataset,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    evidence: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> Built:
    """Gather everything that a prediction needs."""
    from vixml.serving.bundle import build_bundle, bundle_settings

    return build_bundle(
        bundle_settings(params, dataset=name, model=model, image_bank=image_bank),
        model=model,
        embeddings=embeddings,
        index=index,
        items_label=dataset.items("label"),
        items_train=dataset.items("train"),
        relevance_train=dataset.relevance("train"),
        work=work,
        evidence=evidence,
    )


@works_in("predictions_work")
def evaluate(
    params: VariantParams,
    evaluation: EvaluationParams,
    name: str,
    dataset: Dataset,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    evidence: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> tuple[dict[str, Any], Built]:
    """Rank the labels of the test queries and measure the ranking."""
    from vixml.evaluation.stages import evaluate_variant

    return evaluate_variant(
        params,
        evaluation,
        name=name,
        dataset=dataset,
        model=model,
        embeddings=embeddings,
        index=index,
        evidence=evidence,
        image_bank=image_bank,
        work=work,
    )


@works_in(archive.WORK)
def archive_run(
    params: VariantParams,
    evaluation: EvaluationParams,
    seed: int,
    run_name: str,
    dataset: Dataset,
    metrics: dict[str, Any],
    predictions: SealedDirectory,
    curve: list[dict[str, Any]],
    refreshes: list[dict[str, Any]],
    *,
    work: WorkDirectory,
) -> Built:
    """Keep the results of this run, query by query, beside those of earlier runs."""
    relevance, excluded = dataset.relevance("test"), dataset.filter("test")
    return archive.archive_run(
        params,
        evaluation,
        seed=seed,
        name=str(run_name),
        result=metrics,
        predictions=predictions,
        curve=curve,
        refreshes=refreshes,
        relevance_train=dataset.relevance("train"),
        relevance_test=relevance,
        test_set=archive.identify_test_set(dataset.items("test"), dataset.items("label"), relevance, excluded),
        work=work,
    )
