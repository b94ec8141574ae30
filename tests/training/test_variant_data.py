"""What a stage is given: tables of the same items, images only with a bank."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.stage_runs import PARAMS, changed, make_inputs

from vixml.core.errors import ConfigError, StateError
from vixml.training.variant_data import VariantData


def test_tokens_of_other_items_are_refused(tmp_path: Path) -> None:
    """Rows are joined by position: another number of training queries is an error that says what to do."""
    inputs = make_inputs(tmp_path)
    with pytest.raises(StateError, match="other items"):
        VariantData(
            inputs.params,
            inputs.evaluation,
            inputs.seed,
            inputs.tokens,
            None,
            inputs.relevance_train[:40],
            inputs.relevance_validation,
            inputs.filter_validation,
        )


def test_images_without_a_bank_are_refused(tmp_path: Path) -> None:
    """A text variant cannot use images."""
    inputs = make_inputs(tmp_path)
    with pytest.raises(ConfigError, match="told to use images"):
        VariantData(
            PARAMS.model_copy(update={"model": PARAMS.model.model_copy(update={"use_images": True})}),
            *(getattr(inputs, name) for name in ("evaluation", "seed", "tokens", "image_bank")),
            *(getattr(inputs, name) for name in ("relevance_train", "relevance_validation", "filter_validation")),
        )


def test_no_image_an_item_is_a_text_only_model(tmp_path: Path) -> None:
    """`max_images: 0` needs no image bank and has no projection."""
    inputs = changed(make_inputs(tmp_path), model={"use_images": True, "max_images": 0})
    assert inputs.bank is None
    assert inputs.new_model().embedder.projection is None
