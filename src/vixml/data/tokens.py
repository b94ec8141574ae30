"""Tokens at rest: ragged token ids of every side, in the smallest integer type, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.data.ragged import RaggedArray, offsets_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

KIND = "tokens"
_BLOCK = 8192


@dataclass(frozen=True)
class TokenStore:
    """Token ids of all sides and the tokenizer that made them.

    Args:
        folder: Folder of the published tokens.
    """

    folder: Path

    @classmethod
    def open(cls, sealed: SealedDirectory) -> TokenStore:
        """Open published tokens."""
        return cls(sealed.path)

    @property
    def tokenizer_folder(self) -> Path:
        """Folder of the tokenizer."""
        return self.folder / "tokenizer"

    def side(self, name: str) -> RaggedArray:
        """Return the memory-mapped token ids of `train`, `validation`, `test` or `label`."""
        ids = np.load(self.folder / f"{name}_ids.npy", mmap_mode="r", allow_pickle=False)
        return RaggedArray(ids, np.load(self.folder / f"{name}_offsets.npy", allow_pickle=False))


def build_tokens(
    texts: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    special_tokens: bool,
    work: WorkDirectory,
    meta: Mapping[str, Any] | None = None,
) -> Built:
    """Tokenise every side and save the tokenizer beside the ids.

    Args:
        texts: Texts of each side.
        tokenizer: A fast tokenizer.
        max_length: Longest sequence in tokens, special tokens included.
        special_tokens: Whether the tokenizer adds its own start and end tokens (encoders).
        work: Work directory.
        meta: Further facts for the manifest.
    """
    folder = work.fresh("tokens")
    dtype = np.uint16 if len(tokenizer) <= np.iinfo(np.uint16).max + 1 else np.uint32
    report: dict[str, Any] = {"vocabulary": len(tokenizer), "max_length": max_length, **(meta or {})}
    for side, side_texts in texts.items():
        ragged = tokenise(side_texts, tokenizer, max_length=max_length, special_tokens=special_tokens, dtype=dtype)
        np.save(folder / f"{side}_ids.npy", ragged.values, allow_pickle=False)
        np.save(folder / f"{side}_offsets.npy", ragged.offsets, allow_pickle=False)
        report[side] = {"texts": len(ragged), "tokens": len(ragged.values)}
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    return Built(folder, KIND, report)


def tokenise(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    special_tokens: bool,
    dtype: type[np.unsignedinteger] = np.uint32,
) -> RaggedArray:
    """Return the token ids of `texts`, cut to `max_length`, without padding."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.enable_truncation(max_length)
    texts = list(texts)
    parts: list[np.ndarray] = []
    lengths: list[int] = []
    for start in range(0, len(texts), _BLOCK):
        encodings = backend.encode_batch_fast(texts[start : start + _BLOCK], add_special_tokens=special_tokens)
        rows = [encoding.ids for encoding in encodings]
        lengths.extend(map(len, rows))
        parts.append(np.fromiter(chain.from_iterable(rows), dtype=dtype))
    values = np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
    return RaggedArray(values, offsets_of(np.asarray(lengths, dtype=np.int64)))
