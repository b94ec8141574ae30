"""Recipes: every number is the paper's, as `published.json` restates it; the networks they name can be built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vixml.config import ProjectConfigLoader
from vixml.configuration.compose import check_keys, compose
from vixml.core.errors import ConfigError
from vixml.core.provenance import flatten
from vixml.params.data.ingestion import DataParams
from vixml.params.data.vision import VisionParams
from vixml.params.evaluation import BaselineParams, EvaluationParams
from vixml.params.objective import ObjectiveParams
from vixml.params.training import OptimParams
from vixml.params.variant import VariantParams
from vixml.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
DATA_SETS, RECIPES = PUBLISHED["data_sets"], PUBLISHED["recipes"]
CASES = [(env, name, kind) for env in DATA_SETS for name in RECIPES for kind in ("text", "vision")]


def load(env: str | None = None, **runtime: Any) -> dict[str, Any]:
    return ProjectConfigLoader(str(ROOT / "conf"), env=env, runtime_params=runtime, **CONFIG_LOADER_ARGS)["parameters"]


def variant(parameters: dict[str, Any], recipe: str, kind: str) -> VariantParams:
    return VariantParams.model_validate(parameters[f"{RECIPES[recipe]['family']}_{kind}"])


@pytest.fixture(scope="module")
def loaded() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (env, name): load(env, **{f"{facts['family']}_recipe": name})
        for env in DATA_SETS
        for name, facts in RECIPES.items()
    }


@pytest.mark.parametrize(("env", "name", "kind"), CASES)
def test_every_number(loaded, env, name, kind):
    found, data = variant(loaded[env, name], name, kind), DATA_SETS[env]
    recipe = {**RECIPES[name], **data["changes"].get(name, {})}
    family, shared = PUBLISHED["families"][recipe["family"]], PUBLISHED["shared"]
    backbone, model, batching, optim = found.backbone, found.model, found.batching, found.optim
    assert (backbone.family, backbone.name) == (recipe["family"], recipe["checkpoint"])
    assert (backbone.max_length, backbone.pooling) == (data["max_length"], shared["pooling"])
    assert backbone.gradient_checkpointing == family["checkpointing"]
    assert backbone.attention == "causal"
    if family["lora"] is None:
        assert backbone.lora is None
    else:
        lora = backbone.lora.model_dump()
        assert {**lora, "targets": sorted(lora["targets"])} == family["lora"]
        prompt = backbone.prompt
        assert [prompt.text, prompt.image, prompt.end] == family["prompt"]
    assert (model.use_images, model.max_images) == (kind == "vision", shared["images"])
    assert (model.fusion, model.image_position, model.image_dropout) == ("early", "auto", shared["image_dropout"])
    assert model.image_residual == 0
    assert (model.projection_init, model.output_dim, model.matryoshka) == (shared["projection"], None, ())
    assert model.prototype.model_dump() == {
        "num_heads": shared["combiner"]["heads"],
        "feedforward": shared["combiner"]["feedforward"],
        "dropout": shared["combiner"]["dropout"],
        "gate": None,
        "fit": None,
        "free_vectors": shared["free_vectors"],
        "free_init": family["free_init"],
    }
    objective = found.objective
    assert (objective.name, objective.num_negatives) == (shared["objective"], shared["negatives"])
    assert [objective.margin_min, objective.margin_max] == shared["margin"]
    assert objective.margin == 0.3, "NGAME's and DEXA's"
    assert objective.temperature == shared["negative_temperature"]
    assert [objective.regulariser_weight, objective.regulariser_margin] == shared["regulariser"]
    assert batching.batch_size == recipe["batch"]
    assert (batching.start_epoch, batching.update_every) == (family["start"], family["update"])
    assert (batching.cluster_size, list(batching.double_at)) == (shared["cluster_size"], family["double_at"])
    assert batching.mined_per_query == 0
    assert (optim.lr, optim.lr_other) == (recipe["lr"], family["lr_other"])
    assert (optim.weight_decay, optim.eps) == (shared["weight_decay"], shared["adam_epsilon"])
    assert (optim.warmup_steps, optim.clip_norm) == (shared["warmup_steps"], family["clip_norm"])
    assert found.training.epochs == recipe.get("epochs", family["epochs"][kind])
    assert found.training.validate_every == 0, "the last epoch counts"
    augmentation = found.retrieval.augmentation
    assert (augmentation.mode, augmentation.depth) == ("none", shared["augmentation"]["results"])
    assert augmentation.temperature == shared["augmentation"]["temperature"]
    assert augmentation.query_weight == shared["augmentation"]["query_share"]


@pytest.mark.parametrize("kind", ["text", "vision"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_takes_nothing_from_the_demo(name, kind):
    """With no file at all it gives the same settings as in the demo's project."""
    family = RECIPES[name]["family"]
    bare = compose({f"{family}_recipe": name})
    first, second = (variant(parameters, name, kind) for parameters in (bare, load(**{f"{family}_recipe": name})))
    assert first == second


@pytest.mark.parametrize("env", DATA_SETS)
def test_every_environment(env):
    parameters, facts = load(env), DATA_SETS[env]
    check_keys(parameters)
    assert parameters["dataset"] == facts["name"]
    assert (parameters["encoder_recipe"], parameters["decoder_recipe"]) == ("distilbert", "qwen2.5-3b")
    data = DataParams.model_validate(parameters["data"])
    assert (data.text_fields, data.validation_fraction, data.max_images_per_item) == (facts["text"], 0, 3)
    assert data.image_embeddings == "."
    vision = VisionParams.model_validate(parameters["vision"])
    assert (vision.model, vision.pretrained) == ("ViT-SO400M-14-SigLIP2-378", "webli")
    evaluation = EvaluationParams.model_validate(parameters["evaluation"])
    assert [evaluation.propensity_a, evaluation.propensity_b] == PUBLISHED["propensity"]
    assert {1, 5, 100} <= set(evaluation.ks)
    baselines = BaselineParams.model_validate(parameters["baselines"])
    assert baselines.max_queries == (20_000 if env in ("lf_amazon_131k", "lf_amazontitles_1_3m") else None)


class TestWhoWins:
    def test_base_chooses_by_itself_and_the_demo_takes_its_own(self):
        parameters = load()
        assert parameters["encoder_recipe"] == parameters["decoder_recipe"] == "demo"
        assert "recipes" not in parameters

    def test_without_a_recipe_the_models_defaults_hold(self):
        parameters = load(encoder_recipe=None)
        assert parameters["encoder_recipe"] is None
        found = VariantParams.model_validate(parameters["encoder_vision"])
        assert (found.optim, found.objective) == (OptimParams(), ObjectiveParams())

    def test_the_command_line_wins_over_the_recipe_also_where_the_variants_differ(self):
        env = "lf_amazontitles_131k"
        for runtime in ({"encoder": {"training": {"epochs": 20}, "optim": {"lr": 1.0}}},):
            parameters = load(env, **runtime)
            for kind in ("text", "vision"):
                found = variant(parameters, "distilbert", kind)
                assert (found.training.epochs, found.optim.lr) == (20, 1.0)
                assert found.batching.batch_size == 2048
        one = load(env, encoder={"training": {"epochs": 20}}, encoder_text={"training": {"epochs": 30}})
        assert variant(one, "distilbert", "text").training.epochs == 30
        assert variant(one, "distilbert", "vision").training.epochs == 20

    def test_a_shortcut_wins_over_the_recipe(self):
        assert load("lf_amazon_131k", encoder_backbone="mine")["encoder_text"]["backbone"]["name"] == "mine"

    def test_a_recipe_on_the_demo(self):
        found = variant(load(encoder_recipe="minilm-l3"), "minilm-l3", "text")
        assert (found.backbone.name, found.training.epochs) == (RECIPES["minilm-l3"]["checkpoint"], 300)

    @pytest.mark.parametrize(("earlier", "name"), [("minilm-10k", "small-data"), ("minilm-40k", "medium-data")])
    def test_earlier_names_of_recipes_mean_the_same(self, earlier, name):
        first, second = load(encoder_recipe=earlier), load(encoder_recipe=name)
        assert {**first, "encoder_recipe": name} == second

    def test_composing_twice_changes_nothing(self):
        once = load("lf_amazontitles_131k")
        assert compose(once) == once

    @pytest.mark.parametrize("kind", ["text", "vision"])
    def test_an_untrained_network_is_ranked_by_all_evidence(self, kind):
        found = VariantParams.model_validate(load(encoder_recipe="untrained")[f"encoder_{kind}"])
        assert (found.training.epochs, found.batching.start_epoch) == (0, 0)
        assert found.retrieval.augmentation.mode == "evidence"

    @pytest.mark.parametrize(("name", "near"), [("distilbrt", "distilbert"), ("qwen2.5-3B", "qwen2.5-3b")])
    def test_a_misspelt_recipe_names_the_nearest(self, name, near):
        with pytest.raises(ConfigError, match=rf"no recipe of this name.*{name}.*did you mean `{near}`"):
            load(encoder_recipe=name)

    def test_a_recipe_that_extends_itself(self):
        with pytest.raises(ConfigError, match="a -> b -> a"):
            compose({"encoder_recipe": "a", "recipes": {"a": {"extends": "b"}, "b": {"extends": "a"}}})


def networks() -> dict[str, Any]:
    """The architectures of the checkpoints, as their published configurations say."""
    from transformers import BertConfig, DistilBertConfig, Gemma3TextConfig, LlamaConfig, Qwen2Config, Qwen3Config

    def decoder(kind: Any, vocabulary: int, width: int, inner: int, layers: int, heads: tuple[int, int], **more: Any):
        return kind(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads[0],
            num_key_value_heads=heads[1],
            max_position_embeddings=32768,
            **more,
        )

    qwen3 = decoder(Qwen3Config, 151936, 2560, 9728, 36, (32, 8), head_dim=128)
    return {
        "minilm-l3": BertConfig(hidden_size=384, num_hidden_layers=3, num_attention_heads=12, intermediate_size=1536),
        "distilbert": DistilBertConfig(),
        "bert": BertConfig(),
        "qwen2.5-0.5b": decoder(Qwen2Config, 151936, 896, 4864, 24, (14, 2)),
        "qwen2.5-3b": decoder(Qwen2Config, 151936, 2048, 11008, 36, (16, 2)),
        "qwen2.5-7b": decoder(Qwen2Config, 152064, 3584, 18944, 28, (28, 4)),
        "llama-3.2-3b": decoder(LlamaConfig, 128256, 3072, 8192, 28, (24, 8), head_dim=128),
        "qwen3-4b": qwen3,
        "qwen3-embedding-4b": qwen3,
        "gemma-3-4b": decoder(Gemma3TextConfig, 262208, 2560, 10240, 34, (8, 4), head_dim=256),
    }


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[UNK]", "<|endoftext|>", *["This", "product", "text", "and", "its", "image", "red", "shoe"]]
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[UNK]", eos_token="<|endoftext|>"
    )


@pytest.mark.parametrize("name", RECIPES)
def test_the_network_can_be_built(loaded, tokenizer, monkeypatch, name):
    """On the meta device: shapes without numbers, whatever the size."""
    import torch
    from transformers import AutoModel

    from vixml.models.build import build_model
    from vixml.models.text import backbone as module

    config, asked = networks()[name], []

    def from_config(_load: Any, checkpoint: str, **_options: Any) -> Any:
        asked.append(checkpoint)
        return AutoModel.from_config(config)

    monkeypatch.setattr(module, "from_hub_or_folder", from_config)
    for kind in ("text", "vision"):
        params = variant(loaded["lf_amazontitles_131k", name], name, kind)
        with torch.device("meta"):
            model = build_model(
                params.backbone,
                params.model,
                tokenizer=tokenizer,
                image_dim=1152 if kind == "vision" else None,
                num_labels=131_073,
                chunk_tokens=params.batching.chunk_tokens,
                seed=0,
                label_side=params.objective.label_side,
            )
        weights = dict(model.embedder.backbone.named_parameters())
        own = sum(weight.numel() for key, weight in weights.items() if "lora_" not in key)
        published = RECIPES[name]["million_parameters"] * 1e6
        head = 152064 * 3584 if name == "qwen2.5-7b" else 0  # its output layer is no copy of the word embeddings
        vision_tower = 0.42e9 if name == "gemma-3-4b" else 0
        assert own == pytest.approx(published - head - vision_tower, rel=0.02)
        width = config.hidden_size if hasattr(config, "hidden_size") else config.dim
        assert model.label_side.free.table.weight.shape == (65536, width)
        assert model.label_side.centroids.shape == (131_073, width)
        adapted = {key.split(".lora_A")[0].rsplit(".", 1)[1] for key in weights if ".lora_A" in key}
        lora = PUBLISHED["families"][RECIPES[name]["family"]]["lora"]
        assert sorted(adapted) == ([] if lora is None else lora["targets"])
    assert set(asked) == {RECIPES[name]["checkpoint"]}


DEMO = json.loads((Path(__file__).parent / "demo.json").read_text(encoding="utf-8"))
"""What the demo's table in README was measured with, by variant: dotted names; the rest are the models' defaults."""


@pytest.mark.parametrize("name", DEMO)
def test_the_demo_is_what_its_table_was_measured_with(name):
    """A changed number here asks for a new table."""
    parameters, defaults = load(), flatten(VariantParams().model_dump(mode="json"))
    found = flatten(VariantParams.model_validate(parameters[name]).model_dump(mode="json"))
    assert {key: value for key, value in found.items() if value != defaults[key]} == DEMO[name]
    assert found["backbone.name"] == parameters["vision"]["model"] == "tiny"
