"""Which recipe `auto` takes."""

import pytest

from vixml.configuration.choice import PUBLISHED, SIZES, DataFacts, choose_recipe, describe_choice
from vixml.configuration.recipes import FAMILIES, packaged_recipes, resolve

SMALL, MEDIUM = (most for most, _ in SIZES)


def facts(*, demo=False, count=None, gpu=False):
    return DataFacts(demo=demo, count=lambda: count, gpu=gpu)


def choose(family="encoder", backbone=None, **given):
    return choose_recipe(family, backbone, facts(**given), packaged_recipes())


@pytest.mark.parametrize("family", FAMILIES)
class TestWhatIsTaken:
    def test_the_demo_takes_its_own_whatever_its_size_and_without_counting(self, family):
        def count():
            raise AssertionError("the demo's size does not matter")

        assert choose_recipe(family, None, DataFacts(demo=True, count=count, gpu=True), packaged_recipes()) == "demo"

    @pytest.mark.parametrize(
        ("count", "recipe"),
        [
            (1, "small-data"),
            (SMALL, "small-data"),
            (SMALL + 1, "medium-data"),
            (MEDIUM, "medium-data"),
        ],
    )
    @pytest.mark.parametrize("gpu", [False, True])
    def test_by_size(self, family, count, recipe, gpu):
        assert choose(family, count=count, gpu=gpu) == recipe
        assert choose(family, "some/pretrained", count=count, gpu=gpu) == recipe

    def test_an_unknown_size_is_the_smallest(self, family):
        assert choose(family, count=None) == "small-data"

    def test_large_data_take_what_was_published_on_a_gpu_only(self, family):
        assert choose(family, count=MEDIUM + 1, gpu=True) == PUBLISHED[family][0]
        assert choose(family, count=MEDIUM + 1, gpu=False) == "medium-data"

    def test_the_published_recipe_of_a_backbone(self, family):
        for name in PUBLISHED[family]:
            backbone = resolve(packaged_recipes(), name, family)["backbone"]["name"]
            assert choose(family, backbone, count=10**6, gpu=True) == name
        assert choose(family, "another/network", count=10**6, gpu=True) == PUBLISHED[family][0]

    def test_a_random_network_takes_the_recipe_of_random_networks(self, family):
        assert choose(family, "tiny", count=10**6, gpu=True) == choose(family, "tiny", count=5) == "tiny"

    @pytest.mark.parametrize("recipe", ["tiny", "small-data", "medium-data", "untrained"])
    def test_own_data_are_ranked_by_all_evidence(self, family, recipe):
        found = resolve(packaged_recipes(), recipe, family)
        assert found["retrieval"]["augmentation"]["mode"] == "evidence"


def test_the_line_says_what_why_and_how_to_choose_another():
    line = describe_choice({"encoder": "small-data", "decoder": None}, facts(count=9960))
    assert "small-data (encoder), none (decoder), for about 9,960 training queries and no GPU" in line
    assert '--params "encoder_recipe=NAME,decoder_recipe=NAME"' in line
    assert "\n" not in line
    assert "for the demo's data" in describe_choice({"encoder": "demo"}, facts(demo=True))
    assert "as set" in describe_choice({"encoder": "bert"}, None)
