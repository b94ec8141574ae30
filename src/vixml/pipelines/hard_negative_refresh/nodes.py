"""Node of the `hard_negative_refresh` stage."""

from __future__ import annotations

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import Dataset
from vixml.params.variant import VariantParams
from vixml.pipelines.stage import variant_data


@works_in("hard_negatives_work")
def refresh_hard_negatives(
    params: VariantParams,
    seed: int,
    dataset: Dataset,
    tokens: SealedDirectory,
    warmup: SealedDirectory,
    image_bank: SealedDirectory | None = None,
    *,
    work: WorkDirectory,
) -> Built:
    """Embed queries and labels exactly, cluster the queries, mine hard negative labels; a report travels along."""
    from vixml.training.ranks.job import run_stage

    data = variant_data(params, dataset, tokens, image_bank, seed=seed)
    built, _ = run_stage("refresh_hard_negatives", data, warmup, work=work)
    return built
