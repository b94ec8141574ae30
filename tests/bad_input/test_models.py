"""Models and sizes that are not as they should be (docs/reference/bad_input.md)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.bad_input.files import LABELS, POINTS, picture, write_raw
from tests.bad_input.rows import error, works

from vixml.core.directories import WorkDirectory
from vixml.params.data.vision import VisionParams

FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
    "batching": {"batch_size": 2048, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
    "training": {"epochs": 2, "checkpoint_every": 0, "validate_every": 0},
}


def run(at: Any, *, images: bool = True, **params: Any) -> dict[str, Any]:
    """Run the vision encoder from raw files to metrics; return its result."""
    raw = at.path / "shop"
    if images:
        (raw / "images").mkdir()
        (raw / "images" / "a.png").write_bytes(picture())
        (raw / "images.csv").write_text("split,uid,file\ntrn,p0,a.png\nlbl,l0,a.png\n")
    tiny = {"encoder_backbone": "tiny", "encoder": FAMILY, "vision": {"model": "tiny", "tiny_image_size": 32}}
    merged = {"data_root": str(raw), **tiny, **params}
    at.fixture("kedro_run")("ingestion", "image_embedding", "encoder_vision", params=merged)
    folder = at.fixture("project") / "data/08_reporting/shop/encoder_vision"
    result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert 0 <= result["metrics"]["P@1"] <= 1
    return result


def shop(at: Any, **sides: Any) -> None:
    (at.path / "shop").mkdir()
    write_raw(at.path / "shop", **sides)


@pytest.mark.e2e
@works("k-above-labels")
def test_k_above_labels(at):
    shop(at)
    run(at, evaluation={"ks": [1, 3, 5], "top_k": 100})


@pytest.mark.e2e
@works("batch-above-data")
def test_batch_above_data(at):
    shop(at)
    assert run(at)["steps"] == 2


@pytest.mark.e2e
@works("single-label")
def test_single_label(at):
    points = [{**point, "target_ind": [0]} for point in POINTS]
    shop(at, trn=points, tst=points, lbl=LABELS[:1])
    assert run(at)["metrics"]["P@1"] == 1.0


@pytest.mark.e2e
@works("single-query")
def test_single_query(at):
    shop(at, trn=POINTS[:1], tst=POINTS[:1])
    assert run(at)["queries"] == 1


@pytest.mark.e2e
@works("no-images")
def test_no_images(at):
    shop(at)
    run(at, images=False)


@pytest.mark.e2e
@error("nothing-to-learn")
def test_nothing_to_learn(at):
    shop(at, trn=[{**point, "target_ind": [], "target_rel": []} for point in POINTS])
    run(at)


@error("embeddings-width")
def test_embeddings_width(at):
    import torch

    from vixml.models.build import build_model
    from vixml.models.item_batch import ItemBatch
    from vixml.models.text.tokenizer import make_tokenizer
    from vixml.params.model import BackboneParams, ModelParams

    backbone = BackboneParams(**FAMILY["backbone"])
    tokenizer = make_tokenizer(backbone, ["red shoe"])
    model = build_model(
        backbone, ModelParams(), tokenizer=tokenizer, image_dim=8, num_labels=3, chunk_tokens=64, seed=0
    )
    with torch.no_grad():
        model.embed(item_batch(ItemBatch, width=9))


def item_batch(kind: Any, *, width: int) -> Any:
    from vixml.data.ragged import RaggedArray, offsets_of

    tokens = RaggedArray(np.array([1, 2]), offsets_of(np.array([1, 1])))
    return kind(tokens, np.zeros((1, width), dtype=np.float32), np.array([1, 0]))


@works("tokenizer-without-pad")
def test_tokenizer_without_pad(at):
    from transformers import PreTrainedTokenizerFast

    from vixml.data.tokens import build_tokens
    from vixml.models.text.tokenizer import load_saved_tokenizer, make_tokenizer
    from vixml.params.model import BackboneParams

    trained = make_tokenizer(BackboneParams(), ["red shoe", "blue shoe"])
    bare = PreTrainedTokenizerFast(tokenizer_object=trained.backend_tokenizer)
    assert bare.pad_token is None
    sides = {"train": ["red shoe", "blue shoe and more"]}
    built = build_tokens(sides, bare, max_length=8, special_tokens=True, work=WorkDirectory(at.path))
    assert built.meta["train"]["tokens"] > 4
    assert load_saved_tokenizer(built.path / "tokenizer").pad_token is None


@error("backbone-unknown")
def test_backbone_unknown(at):
    from vixml.models.text.tokenizer import load_tokenizer

    load_tokenizer("nobody/has-such-a-model")


@error("backbone-folder")
def test_backbone_folder(at):
    from vixml.models.text.tokenizer import load_tokenizer

    load_tokenizer(at.path)


@error("vision-unknown")
def test_vision_unknown(at):
    from vixml.images.vision import load_vision

    load_vision(VisionParams(model="ViT-B-33"), 0)


@error("no-network")
def test_no_network(at):
    from vixml.images.vision import load_vision

    patch = at.fixture("monkeypatch")
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    patch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(at.path))
    load_vision(VisionParams(model="hf-hub:timm/ViT-B-16-SigLIP2"), 0)
