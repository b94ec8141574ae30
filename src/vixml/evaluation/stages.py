"""The last stages of a variant, from published embeddings to a label index, predictions and one document of results."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.evaluation.evaluate import evaluate_index
from vixml.models.device import resolve_device
from vixml.params.evaluation import EvaluationParams
from vixml.params.retrieval import RetrievalParams
from vixml.params.variant import VariantParams
from vixml.retrieval.index import build_index, open_index


def index_labels(embeddings: SealedDirectory, params: RetrievalParams, work: WorkDirectory) -> Built:
    """Build the index over the label prototypes.

    Args:
        embeddings: Published embeddings with `label_prototypes.npy` float32 [L, d].
        params: Kind of index.
        work: Work directory.
    """
    prototypes = np.load(embeddings.path / "label_prototypes.npy", mmap_mode="r", allow_pickle=False)
    index = build_index(prototypes, params)
    folder = work.fresh("index")
    index.save(folder)
    return Built(folder, "label-index", {"kind": params.kind, "labels": index.size, "dim": index.dim})


def evaluate_variant(
    params: VariantParams,
    evaluation: EvaluationParams,
    *,
    dataset: str,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    relevance_train: csr_matrix,
    relevance_test: csr_matrix,
    filter_test: csr_matrix,
    work: WorkDirectory,
) -> tuple[dict[str, Any], Built]:
    """Rank the labels of all test queries; return the results with what they cost, and the predictions.

    Args:
        params: Settings of the variant.
        evaluation: Metric depths and propensity model.
        dataset: Name of the data set.
        model: Published model; its facts tell the cost of the training.
        embeddings: Published embeddings with `test_queries.npy` float32 [n, d].
        index: Published label index.
        relevance_train: Training relevance [N, L], for the propensities.
        relevance_test: Ground truth [n, L].
        filter_test: Pairs removed from the predictions [n, L].
        work: Work directory of the predictions.
    """
    result, predictions = evaluate_index(
        open_index(index.path, device=str(resolve_device(params.training.device))),
        np.load(embeddings.path / "test_queries.npy", allow_pickle=False),
        relevance_test=relevance_test,
        relevance_train=relevance_train,
        filter_test=filter_test,
        params=evaluation,
        work=work,
    )
    facts = model.meta
    document = {
        **result,
        "dataset": dataset,
        "backbone": params.backbone.name,
        "images": params.model.use_images,
        "milliseconds_per_query": embeddings.meta["milliseconds_per_query"],
        "seconds": {"training": facts["training_seconds"]},
        "num_parameters": facts["parameters"],
        "num_trained_parameters": facts["trained_parameters"],
        "peak_memory_bytes": facts["peak_memory_bytes"],
        "epochs": facts["epochs"],
        "steps": facts["steps"],
        "device": facts["device"],
    }
    return document, predictions
