"""Gradient caching gives the gradients of one big batch, with the activations of one chunk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.losses.prime import prime_loss
from vixml.models.chunked import ChunkedEmbeddings
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.item_batch import ItemBatch, take_items
from vixml.models.label_side import make_label_side
from vixml.models.sequence import InputTemplate
from vixml.params.model import PrototypeParams
from vixml.params.objective import ObjectiveParams


def items(count: int, *, images: bool) -> ItemBatch:
    rng = np.random.default_rng(count)
    lengths, counts = rng.integers(2, 9, count), rng.integers(0, 3, count)
    tokens = RaggedArray(rng.integers(4, 60, lengths.sum()), offsets_of(lengths))
    if not images:
        return ItemBatch(tokens)
    return ItemBatch(tokens, rng.standard_normal((counts.sum(), 6)).astype(np.float16), counts)


def network(family: str, *, chunk_tokens: int) -> DualModel:
    from transformers import AutoModel, BertConfig, Qwen2Config

    size = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    if family == "encoder":
        config = BertConfig(**size, intermediate_size=16, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    else:
        config = Qwen2Config(**size, intermediate_size=16, num_key_value_heads=2, attention_dropout=0.2)
    decoder = InputTemplate(images_first=False, reserved=0, text_prompt=(5, 6), image_prompt=(7,), end=(8,))
    template = InputTemplate() if family == "encoder" else decoder
    embedder = Embedder(AutoModel.from_config(config), image_dim=6, template=template, chunk_tokens=chunk_tokens)
    embedder.backbone.config.use_cache = False
    shape = PrototypeParams(num_heads=2, feedforward=16)
    return DualModel(embedder, make_label_side("prototype", 16, shape, num_labels=40))


def gradients(model: DualModel, batch: ItemBatch, *, cached: bool, count: int = 24) -> dict[str, torch.Tensor]:
    """One step's gradients: 24 queries with a label each, as the loop computes them."""
    model.zero_grad(set_to_none=True)
    embedded = ChunkedEmbeddings(model, batch, precision="fp32", stream=lambda chunk: 11 + chunk, cached=cached)
    pooled = embedded.embeddings
    torch.manual_seed(10)
    unit = torch.nn.functional.normalize(pooled, dim=-1)
    query, text, prototype = unit[:count], unit[count:], model.prototypes(pooled[count:], torch.arange(count))
    loss, _ = prime_loss(query, text, prototype, torch.eye(count, dtype=torch.bool), ObjectiveParams())
    loss.backward()
    embedded.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return {"loss": loss.detach(), **found}


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("family", ["encoder", "decoder"])
def test_the_gradients_of_one_big_batch(family: str, images: bool) -> None:
    """Of every weight, with dropout, whose masks the second pass must draw again."""
    model, batch = network(family, chunk_tokens=40).train(), items(48, images=images)
    whole, cached = gradients(model, batch, cached=False), gradients(model, batch, cached=True)
    assert whole.keys() == cached.keys()
    assert any(name.startswith("embedder.projection") for name in whole) == images
    for name, value in whole.items():
        torch.testing.assert_close(cached[name], value, atol=1e-5, rtol=1e-5, msg=name)
        assert value.abs().sum() > 0 or "bias" in name or "position" in name, name


def saved_bytes(pool: int, *, cached: bool) -> int:
    """The most bytes that autograd held at once for the backward passes of the network."""
    held = most = 0

    class Held:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal held, most
            self.tensor = tensor.detach()
            held += tensor.nbytes
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.tensor.nbytes

    model, batch = network("encoder", chunk_tokens=64).train(), items(pool, images=True)
    with torch.autograd.graph.saved_tensors_hooks(Held, lambda saved: saved.tensor):
        embedded = ChunkedEmbeddings(model, batch, precision="fp32", stream=lambda chunk: chunk, cached=cached)
        embedded.embeddings.grad = torch.ones_like(embedded.embeddings)
        embedded.backward()
    return most


def test_activations_do_not_grow_with_the_pool() -> None:
    """Four times the pool: about four times the activations, or the same ones with the cache."""
    assert saved_bytes(1600, cached=False) > 3 * saved_bytes(400, cached=False)
    assert saved_bytes(1600, cached=True) < 1.1 * saved_bytes(400, cached=True)


def test_items_are_taken_with_their_images() -> None:
    """Row i of the result is the item asked for, tokens and images."""
    batch = items(10, images=True)
    starts = offsets_of(batch.image_counts)
    rows = np.array([7, 0, 7])
    taken = take_items(batch, rows)
    for place, row in enumerate(rows):
        assert taken.tokens.row(place).tolist() == batch.tokens.row(row).tolist()
        begin = int(taken.image_counts[:place].sum())
        found = taken.images[begin : begin + taken.image_counts[place]]
        np.testing.assert_array_equal(found, batch.images[starts[row] : starts[row + 1]])
