"""Nodes of the `archive` stage."""

from __future__ import annotations

from typing import Any

import pandas as pd
from scipy.sparse import csr_matrix

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams


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
