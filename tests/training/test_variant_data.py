"""What a stage is given: tables of the same items, images only with a bank."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import scipy.sparse as sp
from tests.training.stage_runs import PARAMS, changed, make_inputs

from vixml.core.directories import Built, publish
from vixml.core.errors import ConfigError, StateError
from vixml.data.matrix import write_matrix
from vixml.data.soft_labels import KIND, SOFT_LABELS
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


@pytest.mark.parametrize("side", ["train", "label"])
def test_soft_labels_of_other_items_are_refused(tmp_path: Path, side: str) -> None:
    """As many queries and labels are not enough: a split drawn again has as many."""
    inputs = make_inputs(tmp_path)
    items = {name: inputs.tokens.meta["items"][name] for name in ("train", "label")}
    made = []
    for name, found in (("same", items), ("other", {**items, side: "0"})):
        (tmp_path / name).mkdir()
        write_matrix(tmp_path / name / SOFT_LABELS, sp.csr_matrix(inputs.relevance_train.shape))
        made.append(publish(Built(tmp_path / name, KIND, {"items": found}), tmp_path / f"{name}_published"))
    assert "data.soft_labels" in dataclasses.replace(inputs, soft_labels=made[0]).identity
    with pytest.raises(StateError, match="other items than the tokens"):
        dataclasses.replace(inputs, soft_labels=made[1])
