"""The pipelines of the project, by name."""

from __future__ import annotations

import functools

from kedro.pipeline import Pipeline

from vixml.configuration.compose import VARIANTS
from vixml.pipelines import (
    ablation,
    comparison,
    evaluation,
    fabrication,
    image_download,
    image_embedding,
    index_report,
    ingestion,
    label_audit,
    label_update,
    prediction,
    sync_tracking,
    teaching,
    training,
    variant,
)
from vixml.pipelines import hard_negative_refresh as refresh
from vixml.pipelines.teaching.pipeline import STUDENT


@functools.cache  # Kedro asks at the start, the hooks ask again: some 900 nodes are made once
def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name.

    Stages over all variants (`--namespaces=encoder_text` picks one): `training`, `hard_negative_refresh`, `evaluation`.
    Variants, end to end from the ingested data: `encoder_text`, ...; `ablation` is one for every objective,
    `distillation` is a text encoder that learns the soft labels that `teaching` makes. `study` is
    everything from raw files that are already there; `__default__` fabricates the demo's raw files first.
    """
    pipelines = {
        "fabrication": fabrication.create_pipeline(),
        "image_download": image_download.create_pipeline(),
        "ingestion": ingestion.create_pipeline(),
        "image_embedding": image_embedding.create_pipeline(),
        "training": variant.over_variants(training, refresh),
        "hard_negative_refresh": variant.over_variants(refresh),
        "evaluation": variant.over_variants(evaluation),
        **{name: variant.create_pipeline(name) for name in VARIANTS},
        "comparison": comparison.create_pipeline(),
        "ablation": ablation.create_pipeline(),
        "index_report": variant.over_variants(index_report),
        "teaching": teaching.create_pipeline(),
        "distillation": variant.create_pipeline(STUDENT, soft_labels=True),
        "label_audit": label_audit.create_pipeline(),
        "label_update": variant.over_variants(label_update),
        "prediction": prediction.create_pipeline(),
        "sync_tracking": sync_tracking.create_pipeline(),
    }
    parts = ("ingestion", "image_embedding", *VARIANTS, "comparison")
    pipelines["study"] = sum((pipelines[name] for name in parts), Pipeline([]))
    pipelines["__default__"] = pipelines["fabrication"] + pipelines["study"]
    return pipelines


def producer_of(name: str) -> str | None:
    """Return the smallest registered pipeline that makes the data set `name`."""
    sizes = {key: len(value.nodes) for key, value in register_pipelines().items() if name in value.all_outputs()}
    return min(sizes, key=sizes.__getitem__) if sizes else None
