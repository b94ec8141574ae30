"""Cross-field rules of the retrieval and evaluation parameters."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from vixml.params.evaluation import BaselineParams, EvaluationParams
from vixml.params.retrieval import RetrievalParams


def test_depths_are_sorted_and_unique() -> None:
    assert EvaluationParams(ks=(5, 1, 5), top_k=10).ks == (1, 5)


@pytest.mark.parametrize("settings", [{"ks": (1, 200)}, {"ks": ()}, {"ks": (0,)}, {"propensity_b": 0.0}, {"depth": 3}])
def test_impossible_evaluation_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EvaluationParams.model_validate(settings)


def test_impossible_search_and_baseline_settings_are_refused() -> None:
    with pytest.raises(ValidationError):
        RetrievalParams.model_validate({"kind": "annoy"})
    with pytest.raises(ValidationError):
        BaselineParams(image_weight=1.5)


@pytest.mark.parametrize("params", [EvaluationParams, BaselineParams, RetrievalParams])
def test_every_field_is_described(params: type[EvaluationParams]) -> None:
    assert all(field.description for field in params.model_fields.values())
