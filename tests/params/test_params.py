"""Settings: one contract for all models of parameters, and each rule across fields with what breaks it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

import vixml.params
from vixml.params.base import Params
from vixml.params.batching import BatchingParams
from vixml.params.data.ingestion import FabricationParams
from vixml.params.data.mapping import MappingParams, SplitParams
from vixml.params.evaluation import BaselineParams, EvaluationParams
from vixml.params.model import BackboneParams, ModelParams, TinyParams
from vixml.params.objective import ObjectiveParams
from vixml.params.retrieval import RetrievalParams
from vixml.params.variant import VariantParams


def models() -> Iterator[type[Params]]:
    """Every model of the room."""
    for module in pkgutil.walk_packages(vixml.params.__path__, "vixml.params."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Params) and value.__module__ == module.name:
                yield value


MODELS = list(models())


def test_the_models_are_found() -> None:
    assert len(MODELS) > 25


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_is_frozen_strict_and_described(model: type[Params]) -> None:
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"
    assert [name for name, field in model.model_fields.items() if not field.description] == []


QUERIES = {"file": "items.csv", "text": ["title"]}


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (TinyParams, {"hidden_size": 33, "num_heads": 2}, "multiple of num_heads"),
        (BackboneParams, {"name": "tiny", "lora": {"rank": 4}}, "lora adapts pretrained weights"),
        (ModelParams, {"matryoshka": (0,)}, "at least 1"),
        (ModelParams, {"output_dim": 8, "matryoshka": (8,)}, "below output_dim"),
        (BatchingParams, {"double_at": (4, 2)}, "must increase"),
        (BatchingParams, {"mined_per_query": 60}, "above mined_labels"),
        (ObjectiveParams, {"margin_min": 0.4, "margin_max": 0.3}, "above margin_max"),
        (VariantParams, {"batching": {"start_epoch": 9}, "training": {"epochs": 3}}, "epoch"),
        (EvaluationParams, {"ks": (1, 200)}, "only top_k"),
        (EvaluationParams, {"ks": ()}, "at least one depth"),
        (EvaluationParams, {"ks": (0,)}, "at least one depth"),
        (EvaluationParams, {"propensity_b": 0.0}, "greater than 0"),
        (EvaluationParams, {"depth": 3}, "not permitted"),
        (BaselineParams, {"image_weight": 1.5}, "less than or equal to 1"),
        (RetrievalParams, {"kind": "annoy"}, "kind"),
        (FabricationParams, {"num_labels": 10, "labels_per_family": 14}, "labels_per_family"),
        (SplitParams, {"by": "column"}, "goes with `split.by: column`"),
        (MappingParams, {"queries": {**QUERIES, "labels": "tags"}, "pairs": {"file": "p.csv"}}, "pairs"),
    ],
)
def test_what_contradicts_is_refused(model: type[Params], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model.model_validate(settings)


def test_depths_are_sorted_and_unique() -> None:
    assert EvaluationParams(ks=(5, 1, 5), top_k=10).ks == (1, 5)


def test_the_former_ranking_is_named_with_what_took_its_place() -> None:
    with pytest.raises(ValueError, match="`mode: evidence` includes it"):
        VariantParams.model_validate({"retrieval": {"augmentation": {"mode": "fused"}}})
    stored = {"mode": "split", "fusion": {"text": 0.5}}
    kept = VariantParams.model_validate({"retrieval": {"augmentation": stored}}).retrieval.augmentation
    assert kept.mode == "split", "a model of an earlier version is opened"
