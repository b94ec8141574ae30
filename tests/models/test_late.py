"""Late fusion: against a loop over items, padding-free, and through build, save and open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vixml.core.errors import ConfigError
from vixml.data.tokens import tokenise
from vixml.models.build import build_model, model_spec, open_model, save_model
from vixml.models.chunked import ChunkedEmbeddings
from vixml.models.item_batch import ItemBatch
from vixml.models.late import LateFusion
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams, ModelParams

TEXTS = ["red ceramic vase", "blue lamp", "a wooden chair of oak", "vase", "lamp of glass"] * 4
BACKBONE = BackboneParams(
    tiny={"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 300}
)
LATE = ModelParams(
    fusion="late",
    late={"num_heads": 2, "feedforward": 16},
    prototype={"num_heads": 2, "feedforward": 16},
    image_weight=2.0,
)


def fused_one_by_one(fusion: LateFusion, text: torch.Tensor, images: torch.Tensor, counts: list[int]) -> torch.Tensor:
    """The layer over each item's own short sequence."""
    rows, start = [], 0
    for item, count in enumerate(counts):
        sequence = torch.cat(
            [fusion.text_norm(text[item : item + 1]), fusion.image_norm(images[start : start + count])]
        )
        weights = torch.ones(1 + count)
        if fusion.image_weight is not None and count:
            weights[1:] = fusion.image_weight / count
        rows.append(weights @ fusion.layer(sequence[None])[0] / weights.sum())
        start += count
    return torch.stack(rows)


@pytest.mark.parametrize("image_weight", [None, 2.5])
@pytest.mark.parametrize("counts", [[2, 0, 3, 1], [0, 0], [1, 1], [0]])
def test_equals_a_loop_over_items_forward_and_backward(counts: list[int], image_weight: float | None) -> None:
    """Items without images among them; values and gradients."""
    torch.manual_seed(0)
    fusion = LateFusion(8, num_heads=2, feedforward=16, dropout=0.0, image_weight=image_weight)
    values, gradients = [], []
    for fuse in (LateFusion.forward, fused_one_by_one):
        generator = torch.Generator().manual_seed(1)
        text = torch.randn(len(counts), 8, generator=generator, requires_grad=True)
        images = torch.randn(sum(counts), 8, generator=generator, requires_grad=True)
        given = torch.tensor(counts) if fuse is LateFusion.forward else counts
        found = fuse(fusion, text, images, given)
        fusion.zero_grad()
        found.square().sum().backward()
        values.append(found.detach())
        gradients.append([text.grad, images.grad if sum(counts) else None, fusion.layer.linear1.weight.grad.clone()])
    torch.testing.assert_close(*values, atol=1e-5, rtol=1e-5)
    for first, second in zip(*gradients, strict=True):
        if first is not None:
            torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


def test_an_item_alone_and_a_saved_model(tmp_path: Path) -> None:
    """Through the whole network: no item depends on its batch; opened again, it embeds the same."""
    tokenizer = make_tokenizer(BACKBONE, TEXTS)
    options = {"image_dim": 6, "num_labels": 9, "chunk_tokens": 64}
    model = build_model(BACKBONE, LATE, tokenizer=tokenizer, seed=1, **options).eval()
    tokens = tokenise(TEXTS, tokenizer, max_length=16, special_tokens=True)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, len(TEXTS))
    images = rng.standard_normal((counts.sum(), 6)).astype(np.float32)
    starts = np.cumsum(counts) - counts
    tokenizer.save_pretrained(str(tmp_path / "tokenizer"))
    (tmp_path / "m").mkdir()
    spec = model_spec(BACKBONE, LATE, **options)
    save_model(model, tmp_path / "m", spec=spec, tokenizer_folder=tmp_path / "tokenizer")
    again, _ = open_model(tmp_path / "m")
    with torch.no_grad():
        together = model.embed(ItemBatch(tokens, images, counts))
        assert torch.equal(together, again.embed(ItemBatch(tokens, images, counts)))
        for item in range(len(TEXTS)):
            own = images[starts[item] : starts[item] + counts[item]]
            alone = model.embed(ItemBatch(tokens.take(np.array([item])), own, counts[item : item + 1]))
            torch.testing.assert_close(alone[0], together[item], atol=1e-5, rtol=1e-5)
        none = model.embed(ItemBatch(tokens, np.zeros((0, 6), np.float32), np.zeros(len(TEXTS), np.int64)))
        torch.testing.assert_close(none, model.embed(ItemBatch(tokens)))
        assert not torch.allclose(none[counts > 0], together[counts > 0], atol=1e-3)


def test_heads_must_divide_the_width() -> None:
    """Said before any training."""
    wrong = LATE.model_copy(update={"late": LATE.late.model_copy(update={"num_heads": 3})})
    tokenizer = make_tokenizer(BACKBONE, TEXTS)
    with pytest.raises(ConfigError, match="late fusion must divide"):
        build_model(BACKBONE, wrong, tokenizer=tokenizer, image_dim=6, num_labels=3, chunk_tokens=64, seed=0)


def test_gradients_with_the_cache_are_those_without() -> None:
    """Chunk after chunk, dropout of the fusing layer included."""
    tokenizer = make_tokenizer(BACKBONE, TEXTS)
    model = build_model(BACKBONE, LATE, tokenizer=tokenizer, image_dim=6, num_labels=9, chunk_tokens=24, seed=1).train()
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, len(TEXTS))
    images = rng.standard_normal((counts.sum(), 6)).astype(np.float32)
    batch = ItemBatch(tokenise(TEXTS, tokenizer, max_length=16, special_tokens=True), images, counts)
    towards = torch.randn(len(TEXTS), 16, generator=torch.Generator().manual_seed(3))
    found = []
    for cached in (False, True):
        model.zero_grad()
        embedded = ChunkedEmbeddings(model, batch, precision="fp32", stream=lambda chunk: chunk, cached=cached)
        (embedded.embeddings * towards).sum().backward()
        embedded.backward()
        found.append(
            {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        )
    plain, cached_ones = found
    assert plain.keys() == cached_ones.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(cached_ones[name], gradient, atol=1e-5, rtol=1e-5)
    assert any(name.startswith("embedder.late") for name in plain)
