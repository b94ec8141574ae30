"""Encoding image files shard by shard, so that a killed run loses one shard at most.

A shard covers a fixed range of files. Its key hashes everything its content depends on: the encoder, the names, sizes
and times of its files, and the key of the shard before (an image is encoded in the first shard that shows it). Threads
read and decode ahead while the model works. Several ranks encode a share of the shards each: they first tell each other
the hashes of all images, from which it follows in which shard one is encoded.
"""

from __future__ import annotations

import hashlib
import os
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from vixml.core.directories import atomic_file
from vixml.core.progress import progress
from vixml.core.provenance import fingerprint_json
from vixml.distributed import group
from vixml.images.decode import REASONS, PictureError, decoded, read_bytes
from vixml.params.data.vision import VisionParams

if TYPE_CHECKING:
    import torch

    from vixml.images.vision import VisionEncoder

_FORMAT = 1  # raise it when the content of a shard changes its meaning
_DIGEST = 16  # bytes of SHA-256 kept
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass
class EncodedFiles:
    """What became of every file.

    Args:
        row: Vector of each file, int64 [files], or -1.
        reason: Code in `REASONS` of each file, uint8 [files].
        dim: Width of a vector.
        num_vectors: Vectors in all shards together.
        num_encoded: Images encoded by this run.
        seconds: Time that this run spent encoding.
        shards: Shard files in order.
    """

    row: NDArray[np.int64]
    reason: NDArray[np.uint8]
    dim: int = 0
    num_vectors: int = 0
    num_encoded: int = 0
    seconds: float = 0.0
    shards: list[Path] = field(default_factory=list)

    @classmethod
    def none(cls) -> EncodedFiles:
        """Return the outcome of no file."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8))

    def vectors(self) -> Iterator[NDArray[np.float16]]:
        """Yield the vectors of each shard, float16 [n, dim]."""
        for file in self.shards:
            with np.load(file, allow_pickle=False) as shard:
                yield shard["vectors"]


@dataclass(frozen=True)
class _Shard:
    """Digests and failures of its files; digest and outcome of each image first seen here; vectors of the good ones."""

    digests: NDArray[np.uint8]  # [files, _DIGEST], zero where unread
    reasons: NDArray[np.uint8]  # [files]
    new_digests: NDArray[np.uint8]  # [new, _DIGEST]
    new_reasons: NDArray[np.uint8]  # [new]
    vectors: NDArray[np.float16]  # [new images that decoded, dim]


def encode_files(
    root: Path, files: Sequence[str], params: VisionParams, encoder: VisionEncoder, folder: Path
) -> EncodedFiles:
    """Encode every different image among `files`, continuing with the shards in `folder`; ranks share the work.

    Args:
        root: Folder that the files are relative to.
        files: Different POSIX paths.
        params: Sizes of shards and batches, threads, decompression limit.
        encoder: The vision encoder.
        folder: Where shards are kept; shards of other settings are removed at the end.
    """
    root = root.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    result = EncodedFiles(np.full(len(files), -1, dtype=np.int64), np.zeros(len(files), dtype=np.uint8), encoder.dim)
    outcome: dict[bytes, tuple[int, int]] = {}  # digest -> (row or -1, reason)
    key = fingerprint_json([_FORMAT, encoder.identity, params.max_pixels, params.batch_size, params.shard_size])
    workers = params.workers or min(16, os.cpu_count() or 1)
    bar = progress(desc=f"encoding images ({encoder.name})", total=len(files), unit="img")
    with bar, ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        parts: list[tuple[Sequence[str], Path]] = []
        for number, begin in enumerate(range(0, len(files), params.shard_size)):
            names = files[begin : begin + params.shard_size]
            key = fingerprint_json([key, list(names), list(pool.map(lambda name: _stamp(root / name), names))])
            parts.append((names, folder / f"{number:06d}-{key[:24]}.npz"))
        if group.is_divided():
            _encode_together(root, parts, result, params=params, encoder=encoder, pool=pool)
        begin = 0
        for names, file in parts:
            shard = _read(file, len(names))
            if shard is None:
                started = time.perf_counter()
                shard = _encode_shard(root, names, params=params, encoder=encoder, pool=pool, known=outcome)
                _write(file, shard)
                result.num_encoded += len(shard.vectors)
                result.seconds += time.perf_counter() - started
            result.shards.append(file)
            _account(result, begin, shard, outcome)
            begin += len(names)
            bar.update(len(names))
    for stale in set(folder.iterdir()) - set(result.shards) if group.leads() else ():
        stale.unlink()
    return result


def _encode_together(
    root: Path,
    parts: Sequence[tuple[Sequence[str], Path]],
    result: EncodedFiles,
    *,
    params: VisionParams,
    encoder: VisionEncoder,
    pool: ThreadPoolExecutor,
) -> None:
    """Encode a share of the shards that are not there yet, as one of several ranks; wait for those of the others."""
    started = time.perf_counter()
    missing = set(
        group.decided(lambda: [n for n, (names, file) in enumerate(parts) if _read(file, len(names)) is None])
    )
    mine = {n for place, n in enumerate(sorted(missing)) if place in group.share(len(missing))}
    ends = np.cumsum([len(names) for names, _ in parts])
    digests = np.zeros((int(ends[-1]), _DIGEST), dtype=np.uint8)
    good = np.zeros(len(digests), dtype=np.uint8)
    for number, (names, file) in enumerate(parts):
        rows = slice(int(ends[number]) - len(names), int(ends[number]))
        if number in mine:
            hashes, reasons = _hashes(root, names, pool)
            digests[rows], good[rows] = _as_rows(hashes), [reason == "ok" for reason in reasons]
        elif number not in missing and group.leads():
            shard = _read(file, len(names))
            assert shard is not None
            digests[rows], good[rows] = shard.digests, shard.reasons == 0
    group.put_together(digests)
    group.put_together(good)
    seen: dict[bytes, tuple[int, int]] = {}
    for number, (names, file) in enumerate(parts):
        if number in mine:
            shard = _encode_shard(root, names, params=params, encoder=encoder, pool=pool, known=seen)
            _write(file, shard)
            result.num_encoded += len(shard.vectors)
        for row in range(int(ends[number]) - len(names), int(ends[number])):
            if good[row]:
                seen.setdefault(digests[row].tobytes(), (0, 0))
    result.num_encoded = int(group.put_together(np.array([result.num_encoded]))[0])
    (result.seconds,) = group.largest(time.perf_counter() - started)


def _encode_shard(
    root: Path,
    names: Sequence[str],
    *,
    params: VisionParams,
    encoder: VisionEncoder,
    pool: ThreadPoolExecutor,
    known: dict[bytes, tuple[int, int]],
) -> _Shard:
    """Encode the images of these files that are not `known` from an earlier shard."""

    def prepare(name: str) -> torch.Tensor | str:
        try:
            return decoded(read_bytes(root, name), params.max_pixels, encoder.preprocess)
        except PictureError as err:
            return err.reason

    digests, reasons = _hashes(root, names, pool)
    first = {
        d: name for d, name, reason in zip(digests[::-1], names[::-1], reasons[::-1], strict=True) if reason == "ok"
    }
    new = [d for d in dict.fromkeys(digests) if d in first and d not in known]
    outcomes: list[str] = []
    batch: list[torch.Tensor] = []
    parts = [np.zeros((0, encoder.dim), dtype=np.float16)]
    for prepared in _map_ahead(pool, prepare, (first[d] for d in new), window=2 * params.batch_size):
        outcomes.append(prepared if isinstance(prepared, str) else "ok")
        if not isinstance(prepared, str):
            batch.append(prepared)
        if len(batch) == params.batch_size:
            parts.append(half(encoder.encode_tensors(batch)))
            batch = []
    parts.append(half(encoder.encode_tensors(batch)))
    return _Shard(
        digests=_as_rows(digests),
        reasons=_codes(reasons),
        new_digests=_as_rows(new),
        new_reasons=_codes(outcomes),
        vectors=np.concatenate(parts),
    )


def _hashes(root: Path, names: Sequence[str], pool: ThreadPoolExecutor) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Return the digest of each file, zero where it cannot be read, and what became of it."""

    def digest(name: str) -> tuple[bytes, str]:
        try:
            return hashlib.sha256(read_bytes(root, name)).digest()[:_DIGEST], "ok"
        except PictureError as err:
            return bytes(_DIGEST), err.reason

    digests, reasons = zip(*pool.map(digest, names), strict=True)
    return digests, reasons


def _as_rows(digests: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, _DIGEST)


def _account(result: EncodedFiles, begin: int, shard: _Shard, outcome: dict[bytes, tuple[int, int]]) -> None:
    """Number the shard's vectors and note what became of each of its files."""
    for digest, reason in zip(shard.new_digests, shard.new_reasons.tolist(), strict=True):
        outcome[digest.tobytes()] = (-1, reason) if reason else (result.num_vectors, 0)
        result.num_vectors += not reason
    for place, (digest, reason) in enumerate(zip(shard.digests, shard.reasons.tolist(), strict=True), start=begin):
        result.row[place], result.reason[place] = (-1, reason) if reason else outcome[digest.tobytes()]


def _map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[_In], _Out], items: Iterable[_In], window: int
) -> Iterator[_Out]:
    """Map in threads, in order, at most `window` items ahead: memory stays bounded while the consumer works."""
    iterator = iter(items)
    pending: deque[Future[_Out]] = deque(pool.submit(function, item) for item in islice(iterator, window))
    try:
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(iterator, 1))
    finally:
        for future in pending:
            future.cancel()


def half(vectors: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return as float16; the rare value beyond its range is clipped, never infinite."""
    limit = np.finfo(np.float16).max
    return np.clip(vectors, -limit, limit).astype(np.float16)


def _codes(reasons: Sequence[str]) -> NDArray[np.uint8]:
    return np.array([REASONS.index(reason) for reason in reasons], dtype=np.uint8)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return (-1, -1)
    return facts.st_size, facts.st_mtime_ns


def _write(file: Path, shard: _Shard) -> None:
    with atomic_file(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **vars(shard))


def _read(file: Path, num_files: int) -> _Shard | None:
    """Return a finished shard, or None where there is none to trust."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            shard = _Shard(**{name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, TypeError, zipfile.BadZipFile):
        return None
    return shard if len(shard.digests) == num_files else None
