"""Node of `teaching`."""

from __future__ import annotations

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import Dataset
from vixml.params.data.distillation import DistillationParams
from vixml.params.evaluation import EvaluationParams


@works_in("distillation_work")
def teach(
    params: DistillationParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    image_bank: SealedDirectory | None,
    *,
    work: WorkDirectory,
    **embeddings: SealedDirectory | None,
) -> Built:
    """Make the soft labels of the training queries; `embeddings` are those of the variants that may teach."""
    from vixml.distillation import teach as stage

    return stage.teach(params, evaluation, dataset, embeddings=embeddings, work=work, image_bank=image_bank)
