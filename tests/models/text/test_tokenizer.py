"""Tokens equal the tokenizer's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vixml.core.directories import WorkDirectory
from vixml.data.tokens import TokenStore, build_tokens
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams

TEXTS = ["red ceramic vase", "blue Größe lamp", "a wooden chair", "vase of glass", "日本 lamp"] * 4

TINY = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 300}


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
