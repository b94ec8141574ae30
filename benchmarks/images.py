"""Image embedding: decoding beside the model, unique images once, a second run from the finished shards."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.oracles import images as oracle

from benchmarks.harness import SHARED, Row, race


def run(*, quick: bool) -> list[Row]:
    """Encode images of mm-icontags with MobileNetV2 (or drawn ones with the tiny model), each file listed twice."""
    from vixml.images.decode import decode, read_bytes
    from vixml.images.shards import encode_files
    from vixml.images.vision import load_vision
    from vixml.params.data.vision import VisionParams

    count, model = 64 if quick else 1024, SHARED / "models" / "openclip-mobilenetv2"
    params = VisionParams(model=f"local-dir:{model}" if model.is_dir() else "tiny")
    encoder = load_vision(params, 0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        files = _files(root, count)
        twice = [f"{copy}/{file}" for copy in ("a", "b") for file in files]

        def ours() -> object:
            shutil.rmtree(root / "shards", ignore_errors=True)
            return encode_files(root, twice, params, encoder, root / "shards")

        seconds, oracle_seconds, peak, encoded, vectors = race(
            ours, lambda: oracle.encode_one_by_one(root, twice, encoder, params.max_pixels), repeats=1
        )
        start = time.perf_counter()
        again = encode_files(root, twice, params, encoder, root / "shards")
        second = time.perf_counter() - start
        assert again.num_encoded == 0, "the second run encoded again"
        bank = np.concatenate(list(encoded.vectors()))
        np.testing.assert_allclose(bank[encoded.row], vectors, atol=2e-2, rtol=2e-2)
        batches = [
            [
                encoder.preprocess(decode(read_bytes(root, f), params.max_pixels))
                for f in twice[i : i + params.batch_size]
            ]
            for i in range(0, encoded.num_vectors, params.batch_size)
        ]
    start = time.perf_counter()
    for batch in batches:
        encoder.encode_tensors(batch)
    floor = time.perf_counter() - start
    return [
        Row(
            "image embedding", f"{len(twice):,} files, {encoded.num_vectors:,} unique; second run {second:.2f} s",
            seconds, "file by file", oracle_seconds, peak, "the model alone on the unique images", floor,
            "unique once, second run seconds", second < 5 and encoded.num_vectors <= count,
        )
    ]  # fmt: skip


def _files(root: Path, count: int) -> list[str]:
    """Put `count` images into both `a` and `b`."""
    from PIL import Image

    (root / "a").mkdir()
    source = SHARED / "data" / "mm-icontags" / "images"
    if source.is_dir():
        for file in sorted(source.rglob("*.png"))[:count]:
            shutil.copy(file, root / "a" / file.name)
    else:
        rng = np.random.default_rng(0)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(root / "a" / f"{i}.png")
    shutil.copytree(root / "a", root / "b")
    return sorted(file.name for file in (root / "a").iterdir())
