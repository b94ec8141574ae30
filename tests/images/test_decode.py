"""Image files of every awkward kind: each gives an RGB image or a reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vixml.images.decode import PictureError, decode, read_bytes

LIMIT = 1_000_000


def _bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _pixel(content: bytes) -> tuple[int, ...]:
    image = decode(content, LIMIT)
    assert image.mode == "RGB"
    return image.getpixel((1, 1))


def test_transparency_shows_white() -> None:
    assert _pixel(_bytes(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))) == (255, 255, 255)
    assert _pixel(_bytes(Image.new("LA", (4, 4), (0, 128)))) == (127, 127, 127)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    assert _pixel(_bytes(palette, transparency=0)) == (255, 255, 255)
    assert _pixel(_bytes(palette)) == (9, 9, 9)


def test_deep_grey_is_scaled_not_clipped() -> None:
    sixteen = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert _pixel(_bytes(sixteen)) == (128, 128, 128)
    floating = Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32))
    assert _pixel(_bytes(floating, "TIFF")) == (128, 128, 128)


def test_print_colours_bilevel_and_animations_are_understood() -> None:
    assert _pixel(_bytes(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "JPEG"))[0] > 250
    assert _pixel(_bytes(Image.new("1", (4, 4), 1))) == (255, 255, 255)
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    assert _pixel(_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0] > 240


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_common_formats_are_read(kind: str) -> None:
    assert _pixel(_bytes(Image.new("RGB", (4, 4), (250, 250, 250)), kind))[0] > 245


def test_camera_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    assert decode(_bytes(Image.new("RGB", (8, 4)), "JPEG", exif=exif), LIMIT).size == (4, 8)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>Not Found</body></html>", "no image"),
        (_bytes(Image.effect_noise((64, 64), 50))[:-900], "corrupt"),
        (_bytes(Image.new("1", (2000, 1000))), "too large"),
        (_bytes(Image.new("1", (30_000, 20_000))), "too large"),  # Pillow's own bomb limit
        (_bytes(Image.new("L", (2000, 2))), "too elongated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    ],
)
def test_what_is_no_usable_image_has_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(PictureError) as caught:
        decode(content, LIMIT)
    assert caught.value.reason == reason


def test_files_are_confined_to_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "empty.png").touch()
    cases = {
        "../secret.png": "outside root",
        str(tmp_path / "secret.png"): "outside root",
        "link.png": "outside root",
        "absent.png": "missing",
        "folder": "unreadable",
        "nul\0.png": "unreadable",
        "empty.png": "empty",
    }
    for file, reason in cases.items():
        with pytest.raises(PictureError) as caught:
            read_bytes(root.resolve(), file)
        assert caught.value.reason == reason, file


def test_the_images_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(b"x")
    (tmp_path / "root" / "images").symlink_to(tmp_path / "disk")
    assert read_bytes((tmp_path / "root").resolve(), "images/a.png") == b"x"
