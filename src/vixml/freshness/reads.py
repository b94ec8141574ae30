"""What a node reads of a section of settings, and of the ingested data: only that makes its outputs stale.

Nodes take whole sections so that Kedro validates all of them, and one handle of the ingested data. What is not listed
here reads all of them, which is always safe. A test runs the listed nodes and watches what they really read.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vixml.data.sides import Side
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams

_TRAINING: dict[type[BaseModel], Any] = {
    VariantParams: {"backbone", "model", "objective", "batching", "optim", "training"},
    # `ks` is left out on purpose: the depths of the learning curve's validation are no reason to train again
    EvaluationParams: {"propensity_a", "propensity_b"},
}

READS: dict[str, dict[type[BaseModel], Any]] = {
    "tokenise": {VariantParams: {"backbone"}},
    "train_warmup": _TRAINING,
    "refresh_hard_negatives": _TRAINING,
    "train_hard": _TRAINING,
    "embed": {
        VariantParams: {
            "backbone": True,
            "model": True,
            "optim": True,
            "training": True,
            "retrieval": {"train_queries", "augmentation", "calibration", "dim"},
        },
        EvaluationParams: {"query_images"},
    },
}
"""Name of a node's function -> model of a section -> what is read of it, in pydantic's form of `include`."""

_ITEMS = {f"items_{side}" for side in Side}
_TRAINED_ON = {"relevance_train", "relevance_validation", "filter_validation"}
_TESTED_ON = {"items_test", "relevance_test", "filter_test", "relevance_train"}
_COMPARED_ON = _TESTED_ON | {"items_label"}

PARTS: dict[str, dict[str, set[str]]] = {
    name: {"dataset": parts}
    for name, parts in {
        "plot_label_frequencies": {"relevance_train"},
        "draw_pictures": {"items_train", "items_label"},
        "embed_images": _ITEMS,
        "tokenise": _ITEMS,
        **dict.fromkeys(("train_warmup", "refresh_hard_negatives", "train_hard", "embed"), _TRAINED_ON),
        "bundle": {"items_train", "items_label", "relevance_train"},
        "evaluate": _TESTED_ON,
        "archive_run": _COMPARED_ON,
        "compute_baselines": _TESTED_ON | {"items_train"},
        "compare": _COMPARED_ON,
        "write_report": _COMPARED_ON,
    }.items()
}
"""Name of a node's function -> input -> files of that published directory that it reads."""
