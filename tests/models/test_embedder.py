"""The shared network against golden values, and its independence of the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.encoding import embed_padded
from transformers import AutoModel

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.embedder import Embedder
from vixml.models.item_batch import ItemBatch
from vixml.models.sequence import InputTemplate, chunks_by_length


def _ragged(rows: list[np.ndarray]) -> RaggedArray:
    values = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return RaggedArray(values, offsets_of(np.array([len(row) for row in rows])))


def _with_projection(embedder: Embedder, golden: np.lib.npyio.NpzFile) -> Embedder:
    assert embedder.projection is not None
    with torch.no_grad():
        embedder.projection.weight.copy_(torch.tensor(golden["projection_weight"]))
        embedder.projection.bias.copy_(torch.tensor(golden["projection_bias"]))
    return embedder.eval()


def test_encoder_forward(golden_dir: Path) -> None:
    """Ragged texts with 0 to 3 images give the golden embeddings, with and without images."""
    golden = np.load(golden_dir / "encoder_forward.npz", allow_pickle=False)
    backbone = AutoModel.from_pretrained(golden_dir / "models" / "tiny-bert")
    embedder = _with_projection(Embedder(backbone, image_dim=8), golden)
    words, pictures = golden["attention_mask"].astype(bool), golden["image_mask"].astype(bool)
    tokens = RaggedArray(golden["input_ids"][words], offsets_of(words.sum(axis=1)))
    batch = ItemBatch(tokens, golden["image_embeddings"][pictures], pictures.sum(axis=1))
    with torch.no_grad():
        np.testing.assert_allclose(embedder(batch), golden["text_image"], atol=1e-4)
        text_only = Embedder(backbone, image_dim=None).eval()
        np.testing.assert_allclose(text_only(ItemBatch(tokens)), golden["text"], atol=1e-4)


@pytest.mark.parametrize(("pooling", "key"), [("mean", "text_image"), ("last", "text_image_last_token")])
def test_decoder_forward(golden_dir: Path, pooling: str, key: str) -> None:
    """Prompt, text, images and end token give the golden embeddings."""
    golden = np.load(golden_dir / "decoder_forward.npz", allow_pickle=False)
    backbone = AutoModel.from_pretrained(golden_dir / "models" / "tiny-qwen2")
    text, image, end = (tuple(golden[name].tolist()) for name in ("text_prefix", "image_prefix", "end"))
    embedder = Embedder(backbone, image_dim=8, template=decoder_template(text, image, end), pooling=pooling)
    _with_projection(embedder, golden)
    tokens = RaggedArray(golden["input_ids"].ravel(), offsets_of(np.full(6, 9)))
    images = golden["image_embeddings"].reshape(-1, 8)
    with torch.no_grad():
        np.testing.assert_allclose(embedder(ItemBatch(tokens, images, np.full(6, 3))), golden[key], atol=1e-4)
        if pooling == "mean":
            np.testing.assert_allclose(embedder(ItemBatch(tokens)), golden["text"], atol=1e-4)


@pytest.mark.parametrize("family", ["encoder", "decoder"])
def test_item_alone_equals_item_in_a_batch(family: str) -> None:
    """What else is in the batch does not matter, whatever the lengths and image counts."""
    embedder = tiny_embedder(family, chunk_tokens=64)
    rng = np.random.default_rng(0)
    rows = [rng.integers(4, 50, size=length) for length in rng.integers(1, 12, size=25)]
    counts = rng.integers(0, 4, size=25)
    images = rng.standard_normal((counts.sum(), 6)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)])
    with torch.no_grad():
        together = embedder(ItemBatch(_ragged(rows), images, counts))
        for i, row in enumerate(rows):
            alone = embedder(ItemBatch(_ragged([row]), images[starts[i] : starts[i + 1]], counts[i : i + 1]))
            torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=1e-5)


def test_gradients_do_not_depend_on_chunks() -> None:
    """Cutting a batch into chunks changes neither loss nor gradient."""
    rng = np.random.default_rng(1)
    rows = [rng.integers(4, 50, size=length) for length in rng.integers(1, 12, size=16)]
    counts = rng.integers(0, 4, size=16)
    batch = ItemBatch(_ragged(rows), rng.standard_normal((counts.sum(), 6)).astype(np.float32), counts)
    gradients = []
    for chunk_tokens in (64, 100_000):
        embedder = tiny_embedder("encoder", chunk_tokens=chunk_tokens)
        embedder(batch).square().sum().backward()
        gradients.append({name: weight.grad for name, weight in embedder.named_parameters() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("images", "image_weight"), [(False, None), (False, 2.5), (True, None), (True, 2.5)])
def test_equals_the_padded_batch_forward_and_backward(images: bool, image_weight: float | None) -> None:
    """Without padding work, values and gradients are those of one batch padded to its longest item."""
    rng = np.random.default_rng(2)
    tokens = _ragged([rng.integers(4, 50, size=length) for length in rng.integers(1, 12, size=20)])
    counts = rng.integers(0, 4, size=20)
    vectors = rng.standard_normal((counts.sum(), 6)).astype(np.float32)
    batch = ItemBatch(tokens, vectors, counts) if images else ItemBatch(tokens)
    values, gradients = [], []
    for encode in (Embedder.forward, embed_padded):
        embedder = tiny_embedder("encoder", chunk_tokens=64)
        embedder.image_weight = image_weight
        found = encode(embedder, batch)
        found.square().sum().backward()
        values.append(found.detach())
        gradients.append({name: w.grad for name, w in embedder.named_parameters() if w.grad is not None})
    torch.testing.assert_close(*values, atol=1e-5, rtol=1e-5)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["encoder", "decoder"])
def test_images_weigh_together_what_they_are_told(family: str) -> None:
    """With as many images as the weight says, each weighs as a word; an item without images is what it was."""
    embedder = tiny_embedder(family, chunk_tokens=64)
    rng = np.random.default_rng(3)
    tokens = _ragged([rng.integers(4, 50, size=length) for length in (3, 7, 1)])
    counts = np.array([2, 0, 3])
    batch = ItemBatch(tokens, rng.standard_normal((5, 6)).astype(np.float32), counts)
    with torch.no_grad():
        each = embedder(batch)
        for row, weight in ((0, 2.0), (2, 3.0)):
            embedder.image_weight = weight
            found = embedder(batch)
            torch.testing.assert_close(found[row], each[row])
            torch.testing.assert_close(found[1], each[1])
            assert not torch.allclose(found[2 - row], each[2 - row], atol=1e-4)


def test_no_image_means_the_text_only_sequence_for_decoders() -> None:
    """An item without images is fed exactly what a text-only decoder is fed."""
    embedder = tiny_embedder("decoder", chunk_tokens=512)
    tokens = _ragged([np.array([5, 6, 7]), np.array([8])])
    with torch.no_grad():
        bare = embedder(ItemBatch(tokens))
        none = embedder(ItemBatch(tokens, np.zeros((0, 6), np.float32), np.zeros(2, np.int64)))
    torch.testing.assert_close(bare, none)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(10, 200))
def test_chunks_partition_the_items(lengths: list[int], max_tokens: int) -> None:
    """Every item is in one chunk; a chunk of several items stays within the budget."""
    chunks = list(chunks_by_length(np.array(lengths), max_tokens=max_tokens))
    assert sorted(np.concatenate(chunks).tolist()) == list(range(len(lengths)))
    for chunk in chunks:
        longest = max(lengths[i] for i in chunk)
        assert len(chunk) == 1 or len(chunk) * longest <= max_tokens


def tiny_embedder(family: str, *, chunk_tokens: int) -> Embedder:
    """A small seeded network in evaluation mode."""
    from transformers import BertConfig, Qwen2Config

    torch.manual_seed(0)
    shared = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
    }
    config = BertConfig(**shared) if family == "encoder" else Qwen2Config(**shared, num_key_value_heads=2)
    template = InputTemplate() if family == "encoder" else decoder_template((1, 2), (3,), (0,))
    return Embedder(AutoModel.from_config(config), image_dim=6, template=template, chunk_tokens=chunk_tokens).eval()


def decoder_template(text: tuple[int, ...], image: tuple[int, ...], end: tuple[int, ...]) -> InputTemplate:
    """Prompt, text, image prompt, images, end token."""
    return InputTemplate(images_first=False, reserved=0, text_prompt=text, image_prompt=image, end=end)
