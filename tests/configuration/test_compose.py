import pytest

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
from vixml.core.errors import ConfigError
from vixml.params.objective import OBJECTIVES


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
    assert composed["encoder_text"]["training"] == {"epochs": 5, "device": "cpu"}
    assert composed["encoder_vision"]["training"] == {"epochs": 3, "device": "cpu"}
    assert composed["decoder_text"]["training"] == composed["decoder_vision"]["training"] == {"epochs": 7}


def test_composing_twice_changes_nothing():
    once = compose({"encoder": {"optim": {"lr": 1}}, "encoder_text": {"optim": {"lr": 2}}, "encoder_backbone": "x"})
    assert compose(once) == once


def test_shortcuts_fill_their_sections_unless_null():
    composed = compose({"encoder_backbone": "mini", "vision_backbone": "ViT", "decoder_backbone": None})
    assert composed["encoder_vision"]["backbone"] == {"name": "mini"}
    assert composed["vision"] == {"model": "ViT"}
    assert composed["decoder_text"] == {}


@pytest.mark.parametrize(
    ("parameters", "near"),
    [
        ({"evaluaton": {}}, "evaluation"),
        ({"encoder": {"trainin": {}}}, "encoder.training"),
        ({"decoder_vision": {"optimm": {}}}, "decoder_vision.optim"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_the_nearest(parameters, near):
    with pytest.raises(ConfigError, match=f"did you mean `{near}`"):
        check_keys(parameters)


def test_a_section_that_is_a_value_is_an_error():
    with pytest.raises(ConfigError, match="is a section, not a value"):
        check_keys({"encoder": 3})


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
    assert composed["encoder_vision_prime"] == {
        "objective": {"name": "prime", "margin": 0.2},
        "training": {"epochs": 4},
    }
    assert composed["encoder_vision_ngame"]["objective"] == {"name": "ngame", "margin": 0.4}
    assert composed["encoder_text_dexa"]["training"] == {"epochs": 3}
    assert compose(composed) == composed


def test_every_variant_has_a_family_and_every_group_a_place():
    assert set(VISION_VARIANTS) < set(VARIANTS)
    check_keys({name: dict.fromkeys(GROUPS) for name in (*ALL_VARIANTS, *VARIANTS.values())})


def test_an_unknown_way_to_resume_is_refused_before_anything_runs():
    check_keys({"resume": "never"})
    with pytest.raises(ConfigError, match="auto, force, never"):
        check_keys({"resume": "sometimes"})
