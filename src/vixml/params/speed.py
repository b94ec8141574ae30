"""Which settings change how fast a result comes, but not the result: the ONE list, for resuming and for freshness."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vixml.params.data.vision import VisionParams
from vixml.params.evaluation import BaselineParams
from vixml.params.variant import VariantParams

SPEED_ONLY: dict[type[BaseModel], dict[str, Any]] = {
    VariantParams: {
        "backbone": {"gradient_checkpointing", "max_download_gb"},
        "batching": {"chunk_tokens", "gradient_cache", "measure_every"},
        "training": {
            "device",
            "processes",
            "machines",
            "rendezvous",
            "checkpoint_every",
            "checkpoint_minutes",
            "keep_checkpoints",
            "log_every",
            "validate_every",
        },
        "retrieval": {"query_block", "label_block"},
    },
    VisionParams: {
        "device": True,
        "processes": True,
        "batch_size": True,
        "shard_size": True,
        "workers": True,
        "max_download_gb": True,
    },
    BaselineParams: {"query_block": True},
}
"""Model of a section -> fields to leave out, in pydantic's form of `exclude`. A model that is not named has none."""

IGNORED_PARAMETERS = frozenset({"params:resume", "params:run_name"})
"""Whole parameters that no result depends on."""


def result_settings(value: BaseModel, include: Any = None) -> dict[str, Any]:
    """Return the settings of `value` that its results depend on, as JSON values.

    Args:
        value: A section of the parameters.
        include: Only these fields of it, in pydantic's form; None for all.
    """
    return value.model_dump(mode="json", include=include, exclude=SPEED_ONLY.get(type(value)))
