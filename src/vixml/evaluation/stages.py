"""The last stages of a variant, from published embeddings to a label index, predictions and one document of results."""

from __future__ import annotations

from typing import Any

import numpy as np

from vixml.calibration.calibration import open_calibration
from vixml.core.directories import Built, SealedDirectory, WorkDirectory, link
from vixml.data.dataset import Dataset
from vixml.evaluation.evaluate import depth_of, evaluate_ranking
from vixml.evaluation.search import Sources, search, search_together
from vixml.models.device import resolve_device
from vixml.params.evaluation import EvaluationParams
from vixml.params.retrieval import IndexReportParams, RetrievalParams
from vixml.params.variant import VariantParams
from vixml.retrieval.augmentation import FILES
from vixml.retrieval.index import build_index
from vixml.retrieval.report import index_report

PROTOTYPES = "label_prototypes.npy"


def index_labels(embeddings: SealedDirectory, params: RetrievalParams, work: WorkDirectory) -> Built:
    """Build the index over the label prototypes, and those that a blended ranking needs besides.

    Exact search needs no index but the vectors: they are linked, and the further ones stay where they are.

    Args:
        embeddings: Published embeddings with `label_prototypes.npy` float32 [L, d].
        params: Kind of index, ranking.
        work: Work directory.
    """
    folder = work.fresh("index")
    index = build_index(_vectors(embeddings, PROTOTYPES), params)
    index.save(folder)
    if params.kind == "exact":
        (folder / "vectors.npy").unlink()
        link(embeddings.path / PROTOTYPES, folder / "vectors.npy")
    elif params.augmentation.mode != "none":
        for name, file in FILES.items():
            build_index(_vectors(embeddings, file), params).save(folder / name)
    return Built(folder, "label-index", {"kind": params.kind, "labels": index.size, "dim": index.dim})


def evaluate_variant(
    params: VariantParams,
    evaluation: EvaluationParams,
    *,
    name: str,
    dataset: Dataset,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    evidence: SealedDirectory | None = None,
    image_bank: SealedDirectory | None = None,
    work: WorkDirectory,
) -> tuple[dict[str, Any], Built]:
    """Rank the labels of all test queries; return the results with what they cost, and the predictions.

    Args:
        params: Settings of the variant.
        evaluation: Metric depths and propensity model.
        name: Name of the data set.
        dataset: The data set.
        model: Published model; its facts include the cost of the training.
        embeddings: Published embeddings with `test_queries.npy` float32 [n, d].
        index: Published label index.
        evidence: All evidence about labels, for the ranking of that name.
        image_bank: The image bank of a variant that looks at images.
        work: Work directory of the predictions.
    """
    shown = image_bank if evaluation.query_images else None
    sources = Sources(params, dataset, embeddings, index, evidence, shown)
    depth, k = depth_of(evaluation), evaluation.top_k
    result, predictions = evaluate_ranking(
        search_together(sources, depth, k, work) or search(sources, depth, k),
        dataset=dataset,
        params=evaluation,
        work=work,
        calibration=None if evidence is None else open_calibration(evidence.path),
    )
    document = {
        **result,
        "dataset": name,
        "vision_model": None if image_bank is None else image_bank.meta.get("model"),
        "milliseconds_per_query": embeddings.meta["milliseconds_per_query"],
        **_facts(params, model),
    }
    return document, predictions


def measure_indexes(
    params: IndexReportParams, variant: VariantParams, embeddings: SealedDirectory, work: WorkDirectory
) -> list[dict[str, Any]]:
    """Compare the candidate indexes over a variant's label prototypes; see `vixml.retrieval.report.index_report`."""
    return index_report(
        _vectors(embeddings, PROTOTYPES),
        _vectors(embeddings, "test_queries.npy"),
        params,
        work,
        device=str(resolve_device(variant.training.device)),
    )


def _facts(params: VariantParams, model: SealedDirectory) -> dict[str, Any]:
    """Return what a result says of the model and of what its training cost."""
    facts = model.meta
    return {
        "backbone": params.backbone.name,
        "objective": params.objective.name,
        "images": params.model.uses_images,
        "teacher": facts.get("teacher"),
        "seconds": {"training": facts["training_seconds"]},
        "num_parameters": facts["parameters"],
        "num_trained_parameters": facts["trained_parameters"],
        "peak_memory_bytes": facts["peak_memory_bytes"],
        "epochs": facts["epochs"],
        "steps": facts["steps"],
        "device": facts["device"],
    }


def _vectors(embeddings: SealedDirectory, name: str) -> np.ndarray:
    vectors: np.ndarray = np.load(embeddings.path / name, mmap_mode="r", allow_pickle=False)
    return vectors
