"""Which settings a node reads, where it takes a whole section but uses a part: only these make its outputs stale.

Nodes take whole sections so that Kedro validates all of them. What is not listed here reads all of its sections, which
is always safe. A test runs the listed nodes and watches which settings they really read.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

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
            "retrieval": {"train_queries", "augmentation", "dim"},
        },
        EvaluationParams: {"query_images"},
    },
}
"""Name of a node's function -> model of a section -> what is read of it, in pydantic's form of `include`."""
