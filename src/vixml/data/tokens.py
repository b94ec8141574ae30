"""Tokens at rest: ragged token ids of every side, in the smallest integer type, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

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
    texts: Mapping[str, Iterable[str]],
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    special_tokens: bool,
    work: WorkDirectory,
    meta: Mapping[str, Any] | None = None,
) -> Built:
    """Tokenise every side and save the tokenizer beside the ids.

    In memory are one block of texts and its ids at a time, and the offsets.

    Args:
        texts: Texts of each side; read once, in order.
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
        blocks = _blocks(side_texts, tokenizer, max_length, special_tokens, dtype)
        offsets = offsets_of(_write_ids(folder / f"{side}_ids.npy", blocks, dtype))
        np.save(folder / f"{side}_offsets.npy", offsets, allow_pickle=False)
        report[side] = {"texts": len(offsets) - 1, "tokens": int(offsets[-1])}
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
    blocks = list(_blocks(texts, tokenizer, max_length, special_tokens, dtype))
    if not blocks:
        return RaggedArray(np.zeros(0, dtype=dtype), offsets_of(np.zeros(0, dtype=np.int64)))
    values, lengths = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return RaggedArray(values, offsets_of(lengths))


def _blocks(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    special_tokens: bool,
    dtype: type[np.unsignedinteger],
) -> Iterator[tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]]:
    """Yield the ids of some texts one after the other, and the length of each text."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.enable_truncation(max_length)
    texts = iter(texts)
    while block := list(islice(texts, _BLOCK)):
        rows = [encoding.ids for encoding in backend.encode_batch_fast(block, add_special_tokens=special_tokens)]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        yield np.fromiter(chain.from_iterable(rows), dtype=dtype, count=int(lengths.sum())), lengths


def _write_ids(
    file: Path,
    blocks: Iterable[tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]],
    dtype: type[np.unsignedinteger],
) -> NDArray[np.int64]:
    """Write the ids of all blocks as one array into a `.npy` file; return the lengths of all texts."""
    lengths = [np.zeros(0, dtype=np.int64)]
    count = 0
    with file.open("wb") as stream:
        _write_header(stream, 0, dtype)
        begin = stream.tell()
        for values, block_lengths in blocks:
            stream.write(values.data)  # `tofile` would not report a full disk
            count += len(values)
            lengths.append(block_lengths)
        stream.seek(0)
        _write_header(stream, count, dtype)  # NumPy leaves room for a longer length
        assert stream.tell() == begin
    return np.concatenate(lengths)


def _write_header(stream: BinaryIO, count: int, dtype: type[np.unsignedinteger]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(stream, header)
