"""Nodes of `prediction`."""

from __future__ import annotations

from typing import Any

from vixml.configuration.compose import VARIANTS
from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.params.prediction import PredictionParams


@works_in("prediction_work", divided=True)
def predict(
    params: PredictionParams, *predictors: SealedDirectory | None, work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Predict the labels of a file of queries with the model that the parameters name.

    Args:
        params: Queries, model, filters.
        predictors: The published predictor of each variant, where there is one.
        work: Finished blocks.
    """
    from vixml.serving.batch import predict_together

    published = dict(zip(VARIANTS, predictors, strict=True))
    return predict_together(params, published, work.part(params.folder))
