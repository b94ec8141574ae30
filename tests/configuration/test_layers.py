"""The order of settings: a test for each pair of neighbours, and for a clash of stages."""

import logging
from itertools import pairwise

import pytest

from vixml.configuration.compose import compose
from vixml.configuration.layers import Layer, at, flat, top_layer
from vixml.params.variant import VariantParams

LAYERS = (
    "default",
    "recipe, family",
    "recipe, variant",
    "file, family",
    "file, variant",
    "command line, family",
    "command line, variant",
)


def lr(layers, *, family="encoder"):
    """The learning rate of a text variant where each of these layers sets its own number as one."""
    numbers = {name: float(number) for number, name in enumerate(LAYERS)}
    group = {name: {"optim": {"lr": numbers[name]}} if name in layers else {} for name in LAYERS}
    recipe = {**group["recipe, family"], "text": group["recipe, variant"]}
    files = {family: group["file, family"], f"{family}_text": group["file, variant"]}
    runtime = {family: group["command line, family"], f"{family}_text": group["command line, variant"]}
    merged = {
        name: files[name] | runtime[name]  # what Kedro hands on: the command line's where both have it
        for name in files
    }
    composed = compose({**merged, "recipes": {"mine": recipe}, f"{family}_recipe": "mine"}, runtime)
    return composed[f"{family}_text"]["optim"]["lr"]


@pytest.mark.parametrize("family", ["encoder", "decoder"])
@pytest.mark.parametrize(("lower", "upper"), list(pairwise(LAYERS)))
def test_each_layer_wins_over_the_one_below(lower, upper, family):
    wanted = {name: float(number) for number, name in enumerate(LAYERS)}
    assert lr({lower, upper}, family=family) == wanted[upper]
    assert lr(set(LAYERS[: LAYERS.index(upper) + 1]), family=family) == wanted[upper]


def test_without_any_layer_it_is_the_models_default():
    assert lr(()) == VariantParams().optim.lr


@pytest.mark.parametrize(
    ("files", "runtime", "name"),
    [
        ({"encoder_backbone": "short"}, {}, "short"),
        ({"encoder_backbone": "short"}, {"encoder": {"backbone": {"name": "long"}}}, "long"),
        ({"encoder": {"backbone": {"name": "long"}}}, {"encoder_backbone": "short"}, "short"),
        ({"encoder_text": {"backbone": {"name": "own"}}}, {"encoder_backbone": "short"}, "short"),
        ({"encoder_backbone": "short", "encoder_text": {"backbone": {"name": "own"}}}, {}, "own"),
    ],
)
def test_a_shortcut_counts_where_it_is_given(files, runtime, name):
    composed = compose({**files, **runtime}, runtime)
    assert composed["encoder_text"]["backbone"]["name"] == name


RECIPES = {"mine": {"training": {"epochs": 20}, "batching": {"start_epoch": 6}}}


class TestStages:
    def epochs_and_start(self, files, runtime):
        composed = compose({**files, **runtime, "recipes": RECIPES, "encoder_recipe": "mine"}, runtime)
        params = VariantParams.model_validate(composed["encoder_vision"])
        return params.training.epochs, params.batching.start_epoch

    def test_the_second_stage_follows_fewer_epochs_and_says_so(self, caplog):
        with caplog.at_level(logging.INFO):
            assert self.epochs_and_start({}, {"encoder": {"training": {"epochs": 5}}}) == (5, 1)
        assert "start_epoch 6 is after the last epoch (training.epochs 5)" in caplog.text

    def test_it_stays_where_it_fits(self):
        assert self.epochs_and_start({}, {"encoder": {"training": {"epochs": 6}}}) == (6, 6)

    def test_two_settings_of_one_layer_that_clash_are_refused(self):
        both = {"encoder": {"training": {"epochs": 3}, "batching": {"start_epoch": 5}}}
        with pytest.raises(ValueError, match="start_epoch 5 is after"):
            self.epochs_and_start({}, both)


def test_a_value_in_the_place_of_a_group_stands_for_its_settings():
    layers = [Layer("default", "a", {"lora": {"rank": 4}}), Layer("file", "a", {"lora": None})]
    assert top_layer(layers, "lora.rank") == 1
    assert flat(layers) == {"lora": None}
    assert at({"a": {"b": 1}}, "a.c") == (False, None)
