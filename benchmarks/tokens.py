"""Tokenising titles into ragged arrays, against one text at a time, padded."""

from __future__ import annotations

import os

import numpy as np

from benchmarks.encoding import _texts
from benchmarks.harness import SHARED, Row, race


def run(*, quick: bool) -> list[Row]:
    """Tokenise titles with MiniLM's vocabulary (or a small one trained here); compare ids and bytes."""
    from vixml.data.tokens import tokenise
    from vixml.models.tokenizer import _train_lowercase_bpe, load_tokenizer

    count, length = (5_000, 32) if quick else (200_000, 32)
    titles = _texts(SHARED / "data" / "lf-tatesubjects" / "trn.json.gz", ("title",))
    texts = (titles * (count // len(titles) + 1))[:count]
    local = SHARED / "models" / "minilm-l6"
    tokenizer = load_tokenizer(local) if local.is_dir() else _train_lowercase_bpe(titles, 8000)
    part = texts[: count // 20]

    def oracle() -> np.ndarray:
        backend = tokenizer.backend_tokenizer
        padded = np.zeros((len(part), 2, length), dtype=np.int64)
        for row, text in enumerate(part):
            ids = backend.encode(text).ids[:length]
            padded[row, 0, : len(ids)], padded[row, 1, : len(ids)] = ids, 1
        return padded

    seconds, oracle_seconds, peak, ours, padded = race(
        lambda: tokenise(texts, tokenizer, max_length=length, special_tokens=True, dtype=np.uint16), oracle, repeats=2
    )
    values = np.concatenate([row[0][row[1] > 0] for row in padded])
    np.testing.assert_array_equal(ours.values[: len(values)], values)
    rate, small = 60 * count / seconds, (ours.values.nbytes + ours.offsets.nbytes) / count
    disk = padded[0].nbytes / small
    floor = oracle_seconds * count / len(part) / int(os.environ.get("RAYON_NUM_THREADS", "1"))
    return [
        Row(
            "tokenising", f"{count:,} titles: {rate / 1e6:.2f}M/min, {small:.0f} bytes each, padded {disk:.1f}x",
            seconds, "text by text", oracle_seconds * count / len(part), peak, "the oracle on all threads", floor,
            ">= 2M/min, >= 5x the disk", rate >= 2e6 and disk >= 5,
        )
    ]  # fmt: skip
