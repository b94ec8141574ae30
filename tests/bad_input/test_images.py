"""Images that are not as they should be (docs/reference/bad_input.md)."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.bad_input.files import picture
from tests.bad_input.rows import error, repair, works

from vixml.core.directories import WorkDirectory
from vixml.images.bank import build_image_bank
from vixml.images.decode import decode
from vixml.params.data.vision import VisionParams


def bank_of(at: Any, content: bytes | None, *, good: bool = True) -> dict[str, int]:
    """Put one odd image beside a good one and build the bank with a stand-in for the model; return its failures."""
    pandas = pytest.importorskip("pandas")
    folder = at.path / "raw"
    folder.mkdir(exist_ok=True)
    if good:
        (folder / "good.png").write_bytes(picture())
    if content is not None:
        (folder / "odd.png").write_bytes(content)
    model = SimpleNamespace(
        dim=2, name="mean", identity="mean", preprocess=lambda image: np.asarray(image, dtype=np.float32).mean((0, 1))
    )
    model.encode_tensors = lambda batch: np.array([x[:2] for x in batch], dtype=np.float32).reshape(-1, 2)
    items = pandas.DataFrame({"uid": ["a", "b"], "images": [["odd.png"], ["good.png"]]})
    (at.path / "work").mkdir(exist_ok=True)
    params = VisionParams(max_pixels=1_000_000, workers=1)
    built = build_image_bank(folder, {"test": items}, params, 0, WorkDirectory(at.path / "work"), encoder=model)
    report = built.meta["report"]
    assert report["images_failed"] == 1
    assert report["items_without_image"]["test"] == 1
    return report["failed_by_reason"]


@repair("image-missing")
def test_image_missing(at):
    return bank_of(at, None)


@repair("image-truncated")
def test_image_truncated(at):
    return bank_of(at, picture()[:-200])


@repair("image-zero-bytes")
def test_image_zero_bytes(at):
    return bank_of(at, b"")


@repair("image-pipe")
def test_image_pipe(at):
    (at.path / "raw").mkdir()
    os.mkfifo(at.path / "raw" / "odd.png")
    return bank_of(at, None)


@repair("image-sparse")
def test_image_sparse(at):
    (at.path / "raw").mkdir()
    with (at.path / "raw" / "odd.png").open("wb") as stream:
        stream.truncate(20 << 30)
    return bank_of(at, None)


@repair("image-scans")
def test_image_scans(at):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return bank_of(at, content[:last] + content[last:-2] * 200 + content[-2:])


@repair("image-bomb")
def test_image_bomb(at):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    return bank_of(at, buffer.getvalue())


@repair("image-strip")
def test_image_strip(at):
    return bank_of(at, picture(size=(1000, 2)))


@repair("image-html")
def test_image_html(at):
    return bank_of(at, b"<!DOCTYPE html><html><title>404</title></html>")


@repair("image-link")
def test_image_link(at):
    (at.path / "raw").mkdir()
    (at.path / "secret.png").write_bytes(picture())
    (at.path / "raw" / "odd.png").symlink_to(at.path / "secret.png")
    return bank_of(at, None)


@error("images-all-bad")
def test_images_all_bad(at):
    bank_of(at, b"x", good=False)


def middle(content: bytes) -> tuple[int, ...]:
    return decode(content, 1_000_000).getpixel((1, 1))


@works("image-animated")
def test_image_animated(at):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert middle(buffer.getvalue()) == (250, 0, 0)


@works("image-16-bit")
def test_image_16_bit(at):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(buffer, "PNG")
    assert middle(buffer.getvalue()) == (128, 128, 128)


@works("image-cmyk")
def test_image_cmyk(at):
    buffer = io.BytesIO()
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(buffer, "TIFF")
    red, green, blue = middle(buffer.getvalue())
    assert red > 200 > 60 > max(green, blue)


@works("image-palette-alpha")
def test_image_palette_alpha(at):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    assert middle(buffer.getvalue()) == (255, 255, 255)
