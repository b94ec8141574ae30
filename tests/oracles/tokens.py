"""Tokenising text by text into padded int64 arrays: the usual, wasteful way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerFast


def tokenise_padded(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, length: int) -> np.ndarray:
    """Return the ids, cut to `length`, and the mask of each text, int64 [texts, 2, length]."""
    backend = tokenizer.backend_tokenizer
    padded = np.zeros((len(texts), 2, length), dtype=np.int64)
    for row, text in enumerate(texts):
        ids = backend.encode(text).ids[:length]
        padded[row, 0, : len(ids)], padded[row, 1, : len(ids)] = ids, 1
    return padded
