"""Models built from settings: the same by seed, saved and reopened, edited weights named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from vixml.core.errors import StateError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.build import build_model, model_spec, open_model, save_model
from vixml.models.item_batch import ItemBatch
from vixml.models.text.tokenizer import load_saved_tokenizer, make_tokenizer
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


def test_threads_build_and_open_the_same_as_one_alone(tmp_path: Path) -> None:
    """Weights are drawn from a generator that all threads of a process share."""
    backbone, settings = BackboneParams(tiny=TINY), ModelParams(prototype=PROTOTYPE)
    tokenizer = make_tokenizer(backbone, TEXTS)
    tokenizer.save_pretrained(str(tmp_path))

    def weights(seed: int) -> torch.Tensor:
        load_saved_tokenizer(tmp_path)
        options = {"image_dim": 6, "num_labels": 9, "chunk_tokens": 256}
        model = build_model(backbone, settings, tokenizer=tokenizer, seed=seed, **options)
        return torch.cat([weight.detach().flatten() for weight in model.parameters()])

    seeds = [0, 1, 2, 3] * 3
    alone = {seed: weights(seed) for seed in set(seeds)}
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        for seed, found in zip(seeds, pool.map(weights, seeds), strict=True):
            assert torch.equal(found, alone[seed])
    assert torch.equal(torch.get_rng_state(), before)
