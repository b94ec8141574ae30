import re

import pytest

from vixml.configuration.choice import DataFacts
from vixml.configuration.compose import (
    ABLATION,
    ALL_VARIANTS,
    GROUPS,
    VARIANTS,
    VISION_VARIANTS,
    check_keys,
    compose,
    overlay,
    readable_name,
    uses_images,
)
from vixml.configuration.sections import PROJECT_DEFAULTS, sections
from vixml.core.errors import ConfigError
from vixml.params.objective import OBJECTIVES
from vixml.params.variant import VariantParams


def test_overlay_merges_groups_and_replaces_values_without_touching_its_inputs():
    base, top = {"a": {"b": 1, "c": [1, 2]}, "d": 4}, {"a": {"c": [3]}, "d": {"e": 5}}
    assert overlay(base, top) == {"a": {"b": 1, "c": [3]}, "d": {"e": 5}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_a_family_reaches_both_twins_and_a_variant_only_itself():
    composed = compose(
        {
            "encoder": {"training": {"epochs": 3, "device": "cpu"}},
            "encoder_text": {"training": {"epochs": 5}},
            "decoder": {"training": {"epochs": 7}},
        }
    )
    found = {name: composed[name]["training"] for name in VARIANTS}
    assert {name: training["epochs"] for name, training in found.items()} == {
        "encoder_text": 5,
        "encoder_vision": 3,
        "decoder_text": 7,
        "decoder_vision": 7,
    }
    assert found["encoder_text"]["device"] == found["encoder_vision"]["device"] == "cpu"
    assert found["decoder_text"]["device"] == "auto"


def test_sections_are_complete_and_valid_with_nothing_set():
    composed = compose({})
    for section, model in sections().items():
        model.model_validate(composed[section])
    for name, family in ALL_VARIANTS.items():
        variant = VariantParams.model_validate(composed[name])
        assert set(composed[name]) == set(GROUPS)
        assert (variant.backbone.family, variant.model.use_images) == (family, uses_images(name))
        assert variant.backbone.name == PROJECT_DEFAULTS[family]["backbone"]["name"]
    assert composed["vision"]["model"] == PROJECT_DEFAULTS["vision"]["model"]
    assert composed["data"]["validation_fraction"] == composed["data"]["text_fields"] == "auto"


def test_the_demo_sets_no_validation_queries_aside_unless_asked():
    demo = DataFacts(demo=True, count=lambda: None, gpu=False)
    assert compose({}, facts=demo)["data"]["validation_fraction"] == 0
    assert compose({}, facts=demo)["data"]["text_fields"] == "title"
    asked = {"data": {"validation_fraction": 0.1}}
    assert compose(asked, asked, facts=demo)["data"]["validation_fraction"] == 0.1


def test_composing_twice_changes_nothing():
    once = compose({"encoder": {"optim": {"lr": 1}}, "encoder_text": {"optim": {"lr": 2}}, "encoder_backbone": "x"})
    assert compose(once) == once


def test_shortcuts_fill_their_sections_unless_null():
    composed = compose({"encoder_backbone": "mini", "vision_backbone": "ViT", "decoder_backbone": None})
    assert composed["encoder_vision"]["backbone"]["name"] == "mini"
    assert composed["vision"]["model"] == "ViT"
    assert composed["decoder_text"]["backbone"]["name"] == PROJECT_DEFAULTS["decoder"]["backbone"]["name"]


@pytest.mark.parametrize(
    ("parameters", "near"),
    [
        ({"evaluaton": {}}, "evaluation"),
        ({"evaluation": {"top_kk": 3}}, "evaluation.top_k"),
        ({"encoder": {"trainin": {}}}, "encoder.training"),
        ({"encoder": {"training": {"epoch": 3}}}, "encoder.training.epochs"),
        ({"encoder": {"backbone": {"lora": {"rang": 3}}}}, "encoder.backbone.lora.rank"),
        ({"decoder_vision": {"optimm": {}}}, "decoder_vision.optim"),
        ({"index_report": {"candidates": [{"kind": "exact"}, {"kin": "exact"}]}}, "index_report.candidates[1].kind"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_the_nearest(parameters, near):
    with pytest.raises(ConfigError, match=re.escape(f"did you mean `{near}`")):
        check_keys(parameters)


def test_a_key_that_resembles_none_lists_all():
    with pytest.raises(ConfigError, match="one of epochs, max_epoch_steps, validate_every"):
        check_keys({"encoder": {"training": {"xyz": 3}}})


@pytest.mark.parametrize("section", ["encoder", "encoder_text", "data"])
def test_a_section_that_is_a_value_is_an_error(section):
    for refuse in (check_keys, compose):
        with pytest.raises(ConfigError, match=f"`{section}` is a section, not a value"):
            refuse({section: 3})


def test_a_group_that_is_a_value_is_an_error():
    with pytest.raises(ConfigError, match=r"`encoder\.training` is a group of settings, not a value"):
        check_keys({"encoder": {"training": 3}})


def test_a_second_stage_behind_the_last_epoch_is_one_sentence():
    both = {"training": {"epochs": 3}, "batching": {"start_epoch": 5}}
    with pytest.raises(ConfigError, match="second training stage of encoder_text would start after its last epoch"):
        check_keys(compose({"encoder": both}))


def test_the_ablation_is_every_objective_with_and_without_images():
    assert len(ABLATION) == 2 * len(OBJECTIVES)
    assert sum(map(uses_images, ABLATION)) == len(OBJECTIVES)
    assert readable_name("encoder_vision_decoupled_softmax") == "encoder_vision decoupled_softmax"
    assert [readable_name(name) for name in VARIANTS] == list(VARIANTS)


def test_an_ablation_variant_is_its_variant_with_its_objective():
    """Whatever objective the variant itself is set to; its own section comes last."""
    composed = compose(
        {
            "encoder": {"objective": {"name": "infonce", "margin": 0.2}, "training": {"epochs": 3}},
            "encoder_vision": {"training": {"epochs": 4}},
            "encoder_vision_ngame": {"objective": {"margin": 0.4}},
        }
    )
    prime = composed["encoder_vision_prime"]
    assert (prime["objective"]["name"], prime["objective"]["margin"]) == ("prime", 0.2)
    assert prime["training"]["epochs"] == 4
    ngame = composed["encoder_vision_ngame"]["objective"]
    assert (ngame["name"], ngame["margin"]) == ("ngame", 0.4)
    assert composed["encoder_text_dexa"]["training"]["epochs"] == 3
    assert compose(composed)["encoder_text_dexa"] == composed["encoder_text_dexa"]


def test_every_variant_has_a_family_and_every_group_a_place():
    assert set(VISION_VARIANTS) < set(VARIANTS)
    check_keys({name: dict.fromkeys(GROUPS) for name in (*ALL_VARIANTS, *VARIANTS.values())})


def test_an_unknown_way_to_resume_is_refused_before_anything_runs():
    check_keys({"resume": "never"})
    with pytest.raises(ConfigError, match="auto, force, never"):
        check_keys({"resume": "sometimes"})


def test_a_recipe_for_pretrained_networks_gives_way_to_the_one_of_random_ones():
    """An environment that names one can still be trained from nothing with one setting."""
    composed = compose({"decoder_recipe": "small-data", "decoder_backbone": "tiny"})
    assert composed["decoder_recipe"] == "tiny"
    assert VariantParams.model_validate(composed["decoder_vision"]).backbone.lora is None
