"""Ragged tokens against one text at a time."""

from __future__ import annotations

import io
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vixml.core.directories import WorkDirectory
from vixml.data import tokens
from vixml.data.tokens import tokenise
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams

CORPUS = ["blue cotton shirt", "travel mug of steel", "wooden table lamp", "soft blue travel pillow"] * 5


@pytest.mark.parametrize("special_tokens", [True, False])
@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from(CORPUS), max_size=12))
def test_equals_text_by_text(special_tokens: bool, texts: list[str]) -> None:
    """Blocks of texts give what each text gives alone, cut to the longest length."""
    tokenizer = make_tokenizer(BackboneParams(name="tiny", family="encoder"), CORPUS)
    found = tokenise(iter(texts), tokenizer, max_length=6, special_tokens=special_tokens)
    backend = tokenizer.backend_tokenizer
    assert len(found) == len(texts)
    for i, text in enumerate(texts):
        assert found.row(i).tolist() == backend.encode(text, add_special_tokens=special_tokens).ids


def test_block_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """More texts than a block holds come out in order."""
    tokenizer = make_tokenizer(BackboneParams(name="tiny", family="encoder"), CORPUS)
    whole = tokenise(CORPUS, tokenizer, max_length=8, special_tokens=True, dtype=np.uint16)
    monkeypatch.setattr(tokens, "_BLOCK", 3)
    blocks = tokenise(CORPUS, tokenizer, max_length=8, special_tokens=True, dtype=np.uint16)
    np.testing.assert_array_equal(whole.values, blocks.values)
    np.testing.assert_array_equal(whole.offsets, blocks.offsets)


def test_ids_are_written_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A side larger than a block is read once, a block at a time, and the file is the array that fits in memory."""
    tokenizer = make_tokenizer(BackboneParams(name="tiny", family="encoder"), CORPUS)
    corpus, block = CORPUS * 300, 2000
    whole = tokenise(corpus, tokenizer, max_length=8, special_tokens=True, dtype=np.uint16)
    monkeypatch.setattr(tokens, "_BLOCK", block)
    waiting: list[int] = []

    def texts() -> Iterator[str]:
        for number, text in enumerate(corpus):
            if number % block == 0:  # a block is asked for: all before it lie on the disk, but for Python's buffer
                size = next(tmp_path.rglob("train_ids.npy")).stat().st_size
                waiting.append(2 * int(whole.offsets[number]) - size)
            yield text

    sides = {"train": texts(), "label": iter(())}
    built = tokens.build_tokens(sides, tokenizer, max_length=8, special_tokens=True, work=WorkDirectory(tmp_path))
    assert len(waiting) == 3
    assert max(waiting) <= io.DEFAULT_BUFFER_SIZE < 2 * whole.offsets[block]
    store = tokens.TokenStore(built.path)
    np.testing.assert_array_equal(store.side("train").values, whole.values)
    np.testing.assert_array_equal(store.side("train").offsets, whole.offsets)
    assert len(store.side("label")) == 0
    assert built.meta["train"] == {"texts": len(corpus), "tokens": len(whole.values)}


def test_a_full_disk_is_noticed(tmp_path: Path) -> None:
    """Not one id less than the header promises, whichever block the space ends in."""
    tokenizer = make_tokenizer(BackboneParams(name="tiny", family="encoder"), CORPUS)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            tokens.build_tokens(
                {"train": CORPUS * 10}, tokenizer, max_length=8, special_tokens=True, work=WorkDirectory(tmp_path)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
