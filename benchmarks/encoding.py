"""Forward and backward through the encoder on real texts, against padding each side to its longest item."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
from tests.oracles.encoding import embed_padded

from benchmarks.harness import SHARED, Row, product_rate, race


def run(*, quick: bool) -> list[Row]:
    """256 queries and 256 labels a step through MiniLM-L6's architecture; results and gradients must agree."""
    rows = []
    for name, fields in (("mm-icontags", ("title", "content")), ("lf-tatesubjects", ("title",))):
        folder = SHARED / "data" / name
        queries, labels = (_texts(folder / f"{side}.json.gz", fields) for side in ("trn", "lbl"))
        size = 32 if quick else 256
        rows += [_case(name, queries, labels, images=images, size=size) for images in (False, True)]
    return rows


def _texts(file: Path, fields: tuple[str, ...]) -> list[str]:
    if not file.is_file():  # fabricated: 1 to 40 words, mostly few
        rng = np.random.default_rng(0)
        return [" ".join(["word"] * min(40, 1 + int(rng.exponential(8)))) for _ in range(4096)]
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines]
    return [" ".join(str(item.get(field) or "") for field in fields).strip() for item in items]


def _case(name: str, queries: list[str], labels: list[str], *, images: bool, size: int) -> Row:
    import torch
    from transformers import AutoModel, BertConfig

    from vixml.data.tokens import tokenise
    from vixml.models.embedder import Embedder
    from vixml.models.item_batch import ItemBatch, concatenate
    from vixml.models.text.tokenizer import _train_lowercase_bpe, load_tokenizer

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    local = SHARED / "models" / "minilm-l6"
    tokenizer = load_tokenizer(local) if local.is_dir() else _train_lowercase_bpe(queries, 8000)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    embedder = Embedder(AutoModel.from_config(config), image_dim=1280 if images else None)
    sides = []
    for texts in (queries, labels):
        chosen = [texts[i] or "?" for i in rng.permutation(len(texts))[:size]]
        tokens = tokenise(chosen, tokenizer, max_length=128, special_tokens=True)
        counts = rng.integers(0, 4, len(chosen))
        vectors = rng.standard_normal((counts.sum(), 1280)).astype(np.float32)
        sides.append(ItemBatch(tokens, vectors, counts) if images else ItemBatch(tokens))
    batch = concatenate(*sides)

    def ours() -> torch.Tensor:
        embedder.zero_grad()
        result = embedder(batch)
        result.square().sum().backward()
        return result.detach()

    def padded() -> torch.Tensor:
        embedder.zero_grad()
        result = torch.cat([embed_padded(embedder, side) for side in sides])
        result.square().sum().backward()
        return result.detach()

    seconds, oracle_seconds, peak, found, expected = race(ours, padded)
    # The oracle's text begins behind all image slots, as ours does.
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    positions = int(batch.tokens.lengths.sum()) + (int(batch.image_counts.sum()) if images else 0)
    weights = sum(weight.numel() for weight in embedder.backbone.encoder.parameters())
    floor = 6 * weights * positions / product_rate(1024, 384, 1536)
    return Row(
        "encoding, forward + backward",
        f"{name}, {len(sides[0])} + {len(sides[1])}{', images' if images else ''}, {positions:,} positions",
        seconds, "each side padded to its longest", oracle_seconds, peak, "matrix products of real positions", floor,
        ">= 1.8x", oracle_seconds / seconds >= 1.8,
    )  # fmt: skip
