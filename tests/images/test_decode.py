"""Image files of every awkward kind: each gives an RGB image or a reason."""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from vixml.images.decode import PictureError, decode, decoded, read_bytes, to_rgb, upright
from vixml.images.in_flight import PixelBudget, jpeg_scans

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


def _many_scans(scans: int, size: int = 64) -> bytes:
    """Return a progressive JPEG whose last scan stands in it again and again."""
    content = _bytes(Image.effect_noise((size, size), 50).convert("RGB"), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]


def test_scans_of_a_jpeg_are_counted() -> None:
    plain = _bytes(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")
    thumbnail = Image.Exif()
    thumbnail[0x010E] = (b"\xff\xda" * 200).decode("latin-1")  # in a segment, so no scan
    described = _bytes(Image.new("RGB", (9, 9)), "JPEG", exif=thumbnail)
    assert [jpeg_scans(content, 500) for content in (plain, described, _bytes(Image.new("L", (9, 9))))] == [1, 1, 0]
    assert 4 < jpeg_scans(_many_scans(1), 500) < 20
    assert jpeg_scans(_many_scans(6000), 100) == 101
    assert jpeg_scans(b"\xff\xd8" + b"\xff\xda\x00\x00" * 9 + b"\xff", 100) == 9


def test_a_jpeg_of_thousands_of_scans_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", lambda self: pytest.fail("it was decoded"))
    for content, limit in ((_many_scans(6000), LIMIT), (_many_scans(30), 64 * 64)):
        with pytest.raises(PictureError, match="too many scans"):
            decode(content, limit)


def test_ordinary_progressive_jpegs_are_read_up_to_the_size_limit() -> None:
    assert decode(_many_scans(1), 64 * 64).size == (64, 64)


def test_decoding_ends_when_its_time_is_up() -> None:
    content = _bytes(Image.effect_noise((600, 600), 90), "JPEG", quality=98)
    assert len(content) > 1 << 17  # more than is read at once
    with pytest.raises(PictureError, match="too slow"):
        decode(content, LIMIT, seconds=-1)
    assert decode(content, LIMIT, seconds=60).size == (600, 600)


def test_pixels_in_flight_are_bounded() -> None:
    budget, inside, most = PixelBudget(100), [], []
    lock = threading.Lock()

    def work(pixels: int) -> None:
        with budget.taking(pixels):
            with lock:
                inside.append(pixels)
                most.append(sum(inside))
            gate.wait(0.02)
            with lock:
                inside.remove(pixels)

    gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [60, 30, 60, 10, 100, 50, 50, 1000] * 3))  # the last is more than all, and waits its turn
    assert max(min(100, total) for total in most) == 100
    assert all(total <= 100 or total == 1000 for total in most)


def test_what_is_made_of_an_image_counts_as_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = PixelBudget(100)
    monkeypatch.setattr("vixml.images.decode._IN_FLIGHT", budget)
    content = _bytes(Image.new("RGB", (5, 4)))
    assert decoded(content, LIMIT, lambda image: budget._used) == 20
    with pytest.raises(ValueError, match="mine"):
        decoded(content, LIMIT, lambda image: (_ for _ in ()).throw(ValueError("mine")))
    assert budget._used == 0


@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_large_images_are_converted_in_little_memory(mode: str) -> None:
    """Strip by strip gives what all at once gives, in a fraction of the memory of the floats."""
    array = np.random.default_rng(0).integers(0, 60_000 if mode == "I;16" else 255, (1500, 1500)).astype(np.uint16)
    image = Image.fromarray(array) if mode == "I;16" else Image.fromarray(np.dstack([array.astype(np.uint8)] * 4))
    tracemalloc.start()
    result = np.asarray(to_rgb(image))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000  # NumPy's arrays; all at once takes 18 MB for each copy of the floats
    if mode == "I;16":
        expected = np.clip(array * (255.0 / 65535.0), 0, 255).round().astype(np.uint8)
    else:
        whole = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        expected = np.asarray(whole)[..., 0]
    np.testing.assert_array_equal(result[..., 0], expected)


def test_an_opened_image_is_turned_and_held_to_the_limits() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(_bytes(Image.new("RGB", (8, 4)), "JPEG", exif=exif)))
    assert upright(opened, LIMIT).size == (4, 8)
    assert opened.size == (8, 4)  # the caller's own stays as it is
    for image, reason in (
        (Image.new("1", (2000, 1000)), "too large"),
        (Image.new("L", (2000, 2)), "too elongated"),
        (Image.new("L", (0, 2)), "empty"),
        (Image.open(io.BytesIO(_bytes(Image.effect_noise((64, 64), 50))[:-900])), "corrupt"),
    ):
        with pytest.raises(PictureError, match=reason):
            upright(image, LIMIT)


def test_pipes_devices_and_endless_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "sparse.png").open("wb") as stream:
        stream.truncate(20 << 30)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "images").symlink_to("/dev")
    cases = {
        "pipe.png": "no regular file",
        "sparse.png": "too large",
        "folder.png": "unreadable",
        "images/zero": "no regular file",
        "a\0b": "unreadable",
    }
    for file, reason in cases.items():
        with pytest.raises(PictureError) as caught:
            read_bytes(tmp_path, file)
        assert caught.value.reason == reason, file
