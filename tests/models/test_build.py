"""Models on disk: save and open, tiny backbones with trained tokenizers, LoRA, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError, StateError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.data.tokens import TokenStore, build_tokens, tokenise
from vixml.models.build import build_model, model_spec, open_model, save_model
from vixml.models.item_batch import ItemBatch
from vixml.models.text.backbone import make_backbone
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams, ModelParams

TEXTS = ["red ceramic vase", "blue Größe lamp", "a wooden chair", "vase of glass", "日本 lamp"] * 4
PROTOTYPE = {"num_heads": 2, "feedforward": 16}
TINY = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 300}


def _images() -> ItemBatch:
    tokens = RaggedArray(np.array([5, 6, 7, 8]), offsets_of(np.array([3, 1])))
    return ItemBatch(tokens, np.ones((2, 6), np.float32), np.array([2, 0]))


@pytest.mark.parametrize("family", ["encoder", "decoder"])
def test_saved_model_opens_to_the_same_embeddings(tmp_path: Path, family: str) -> None:
    """Embeddings and prototypes survive the round trip bit by bit; no pickle is among the files."""
    backbone, settings = BackboneParams(family=family, tiny=TINY), ModelParams(prototype=PROTOTYPE)
    tokenizer = make_tokenizer(backbone, TEXTS)
    options = {"image_dim": 6, "num_labels": 9, "chunk_tokens": 256}
    model = build_model(backbone, settings, tokenizer=tokenizer, seed=1, **options).eval()
    model.label_side.centroids.normal_()
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    (tmp_path / "model").mkdir()
    spec = model_spec(backbone, settings, **options)
    save_model(model, tmp_path / "model", spec=spec, tokenizer_folder=tmp_path / "tokenizer")
    again, _ = open_model(tmp_path / "model")
    labels = torch.arange(2)
    with torch.no_grad():
        before, after = model.pool(_images()), again.pool(_images())
        assert torch.equal(before, after)
        assert torch.equal(model.prototypes(before, labels), again.prototypes(after, labels))
    assert {p.suffix for p in (tmp_path / "model").rglob("*") if p.is_file()} <= {".json", ".safetensors"}


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_the_way_of_images_past_the_backbone_reaches_the_network_and_the_disk(tmp_path: Path, fusion: str) -> None:
    """It changes items with images alone, and a saved model has it."""
    backbone, options = BackboneParams(tiny=TINY), {"image_dim": 6, "num_labels": 9, "chunk_tokens": 256}
    tokenizer = make_tokenizer(backbone, TEXTS)
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    found = {}
    for gate in (0.0, 0.5):
        settings = ModelParams(prototype=PROTOTYPE, fusion=fusion, late=PROTOTYPE, image_residual=gate)
        model = build_model(backbone, settings, tokenizer=tokenizer, seed=1, **options).eval()
        assert (model.embedder.residual is None) == (gate == 0)
        if gate:
            model.embedder.backbone.load_state_dict(found["weights"])
            model.embedder.projection.load_state_dict(found["projection"])
            if fusion == "late":
                model.embedder.late.load_state_dict(found["late"])
        else:
            found = {
                "weights": model.embedder.backbone.state_dict(),
                "projection": model.embedder.projection.state_dict(),
            }
            found["late"] = model.embedder.late.state_dict() if fusion == "late" else None
        (folder := tmp_path / str(gate)).mkdir()
        spec = model_spec(backbone, settings, **options)
        save_model(model, folder, spec=spec, tokenizer_folder=tmp_path / "tokenizer")
        with torch.no_grad():
            found[gate] = model.pool(_images())
            assert torch.equal(open_model(folder)[0].pool(_images()), found[gate])
    length = (found[0.5] - found[0.0]).norm(dim=1) / found[0.0].norm(dim=1)
    torch.testing.assert_close(length, torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_the_weight_of_images_reaches_the_network_and_the_disk(tmp_path: Path, fusion: str) -> None:
    """It changes items with images alone, and a saved model has it."""
    backbone, options = BackboneParams(tiny=TINY), {"image_dim": 6, "num_labels": 9, "chunk_tokens": 256}
    tokenizer = make_tokenizer(backbone, TEXTS)
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    found = {}
    for weight in (None, 2.0, 5.0):
        settings = ModelParams(prototype=PROTOTYPE, fusion=fusion, late=PROTOTYPE, image_weight=weight)
        model = build_model(backbone, settings, tokenizer=tokenizer, seed=1, **options).eval()
        folder = tmp_path / str(weight)
        folder.mkdir()
        spec = model_spec(backbone, settings, **options)
        save_model(model, folder, spec=spec, tokenizer_folder=tmp_path / "tokenizer")
        with torch.no_grad():
            found[weight] = model.embed(_images())
            assert torch.equal(open_model(folder)[0].embed(_images()), found[weight])
    torch.testing.assert_close(found[None], found[2.0])  # the item with images has two
    assert not torch.allclose(found[None][0], found[5.0][0], atol=1e-3)
    torch.testing.assert_close(found[None][1], found[5.0][1])


def test_same_seed_same_model() -> None:
    """Two builds from one seed are equal, another seed differs."""
    backbone, settings = BackboneParams(tiny=TINY), ModelParams(prototype=PROTOTYPE)
    tokenizer = make_tokenizer(backbone, TEXTS)
    options = {"tokenizer": tokenizer, "image_dim": None, "num_labels": 9, "chunk_tokens": 256}
    models = [build_model(backbone, settings, seed=seed, **options) for seed in (1, 1, 2)]
    states = [torch.cat([w.flatten() for w in m.parameters()]) for m in models]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_edited_weights_are_named(tmp_path: Path) -> None:
    """A weights file that belongs to another model is refused."""
    from safetensors.torch import save_file

    backbone, settings = BackboneParams(tiny=TINY), ModelParams(prototype=PROTOTYPE)
    tokenizer = make_tokenizer(backbone, TEXTS)
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    options = {"image_dim": None, "num_labels": 9, "chunk_tokens": 256}
    model = build_model(backbone, settings, tokenizer=tokenizer, seed=1, **options)
    (tmp_path / "m").mkdir()
    save_model(
        model, tmp_path / "m", spec=model_spec(backbone, settings, **options), tokenizer_folder=tmp_path / "tokenizer"
    )
    save_file({"other": torch.zeros(2)}, str(tmp_path / "m" / "model.safetensors"))
    with pytest.raises(StateError, match="do not belong"):
        open_model(tmp_path / "m")


def test_tokens_equal_the_tokenizers_own(tmp_path: Path) -> None:
    """Ragged ids equal a call of the tokenizer text by text, special tokens and truncation included."""
    tokenizer = make_tokenizer(BackboneParams(tiny=TINY), TEXTS)
    built = build_tokens(
        {"train": TEXTS, "label": []}, tokenizer, max_length=5, special_tokens=True, work=WorkDirectory(tmp_path)
    )
    store = TokenStore(built.path)
    side = store.side("train")
    assert side.values.dtype == np.uint16
    assert len(store.side("label")) == 0
    for i, text in enumerate(TEXTS):
        expected = tokenizer(text, truncation=True, max_length=5)["input_ids"]
        assert side.row(i).tolist() == expected


def test_pretrained_folder_and_its_tokenizer(shared_dir: Path) -> None:
    """Real weights load from a folder; equal texts have equal embeddings whatever their case."""
    backbone = BackboneParams(name=str(shared_dir / "models" / "minilm-l6"))
    tokenizer = make_tokenizer(backbone, [])
    model = build_model(
        backbone, ModelParams(), tokenizer=tokenizer, image_dim=None, num_labels=3, chunk_tokens=256, seed=0
    ).eval()
    ids = tokenise(["red vase", "Red Vase", "stock market"], tokenizer, max_length=32, special_tokens=True)
    with torch.no_grad():
        first, second, other = model.embed(ItemBatch(ids))
    assert torch.equal(first, second)
    assert float(first @ other) < 0.5


def test_lora_trains_adapters_only_and_reopens(tmp_path: Path, golden_dir: Path) -> None:
    """Under LoRA only adapters and the new parts train and are saved; a reopened model embeds the same."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    folder = golden_dir / "models" / "tiny-qwen2"
    backbone = BackboneParams(family="decoder", name=str(folder), lora={"rank": 4, "alpha": 4})
    settings = ModelParams(prototype=PROTOTYPE)
    vocabulary = {f"w{i}": i for i in range(119)} | {"<|endoftext|>": 119}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="w0")), eos_token="<|endoftext|>"
    )
    options = {"image_dim": 6, "num_labels": 5, "chunk_tokens": 256}
    model = build_model(backbone, settings, tokenizer=tokenizer, seed=0, **options)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    in_backbone = {name for name in trained if name.startswith("embedder.backbone")}
    assert in_backbone
    assert all("lora_" in name for name in in_backbone)
    before = {name: w.clone() for name, w in model.named_parameters()}
    optimiser = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.05)
    for _ in range(2):  # B starts at zero: A moves from the second step on
        model.embed(_images())[0, 0].backward()
        optimiser.step()
    moved = {name for name, w in model.named_parameters() if not torch.equal(w, before[name])}
    assert any("lora_A" in name for name in moved)
    assert moved <= trained
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    (tmp_path / "m").mkdir()
    save_model(
        model.eval(),
        tmp_path / "m",
        spec=model_spec(backbone, settings, **options),
        tokenizer_folder=tmp_path / "tokenizer",
    )
    again, _ = open_model(tmp_path / "m")
    with torch.no_grad():
        torch.testing.assert_close(model.embed(_images()), again.embed(_images()))


def test_lora_scaling_is_rank_stabilised(golden_dir: Path) -> None:
    """The update is scaled by alpha / sqrt(rank)."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    backbone = BackboneParams(
        family="decoder",
        name=str(golden_dir / "models" / "tiny-qwen2"),
        lora={"rank": 4, "alpha": 6, "targets": ["q_proj"]},
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    network = make_backbone(backbone, tokenizer, max_positions=40)
    scalings = {
        s
        for m in network.modules()
        if hasattr(m, "scaling") and isinstance(m.scaling, dict)
        for s in m.scaling.values()
    }
    assert scalings == {3.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [("/no/such/folder", "does not exist"), ("nobody/no-such-model", "could not be loaded")],
)
def test_unknown_backbone_says_what_to_do(name: str, message: str) -> None:
    """A missing folder and an unreachable hub name end in one clear error, at once."""
    with pytest.raises(ConfigError, match=message):
        make_tokenizer(BackboneParams(name=name), TEXTS)


def test_too_few_positions(shared_dir: Path) -> None:
    """A text longer than the backbone's positions is refused before training."""
    backbone = BackboneParams(name=str(shared_dir / "models" / "minilm-l6"), max_length=600)
    tokenizer = make_tokenizer(backbone, [])
    with pytest.raises(ConfigError, match="too few positions"):
        make_backbone(backbone, tokenizer, max_positions=600)
