"""Node of the `label_update` pipeline."""

from __future__ import annotations

from typing import Any

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.params.retrieval import LabelUpdateParams


@works_in("label_update_work")
def update_labels(
    params: LabelUpdateParams, predictor: SealedDirectory, *, work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Add, change and remove labels of the trained predictor."""
    from vixml.serving.bundle import PredictorBundle
    from vixml.serving.labels import LabelChanges
    from vixml.serving.labels import update_labels as update

    return update(PredictorBundle.open(predictor.path), LabelChanges.read(params), params, work)
