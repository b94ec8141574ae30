"""Reading untrusted image files: the outcome is an RGB image or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vixml.core.guards.regular import NotRegularError, TooManyBytesError, read_regular
from vixml.images.in_flight import PixelBudget, TimedBytes, jpeg_scans

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")

REASONS = (
    *("ok", "outside root", "missing", "unreadable", "empty", "too large", "too elongated", "corrupt", "no image"),
    *("no regular file", "too many scans", "too slow"),
)
"""What can become of an image file; the position is its code, 0 is success."""

MOST_BYTES = 1 << 28
"""Bytes of an image file that are read: an uncompressed one of 50 million pixels has half as many."""

# Formats whose decoders live inside Pillow; others (EPS) would start external programs.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM")
_MAX_ASPECT = 200  # a resize by the shorter side would blow a longer strip up to gigabytes
_MOST_SCANS = 100  # encoders write 10 or so
_FULL_SCANS = 20  # of an image of the largest size; the limit on scans times pixels
_IN_FLIGHT = PixelBudget(100_000_000)
_STRIP = 1 << 20  # pixels converted at once


class PictureError(Exception):
    """An image file that gives no image.

    Args:
        reason: One of `REASONS`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_bytes(root: Path, file: str) -> bytes:
    """Return the content of an image file.

    Args:
        root: Resolved folder that no file may leave; its `images` sub-folder may be a link to another place.
        file: POSIX path relative to `root`.

    Raises:
        PictureError: Outside the root, missing, unreadable, empty, too large, or no regular file.
    """
    path = root / PurePosixPath(file)
    try:
        resolved = path.resolve()
        if not any(resolved.is_relative_to(allowed) for allowed in (root, (root / "images").resolve())):
            raise PictureError("outside root")
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in the name
        raise PictureError("unreadable") from None
    return read_picture(resolved)


def read_picture(resolved: Path) -> bytes:
    """Return the content of an image file, links in whose path have been followed.

    Raises:
        PictureError: Missing, unreadable, empty, too large, or no regular file.
    """
    try:
        content = read_regular(resolved, MOST_BYTES)
    except FileNotFoundError:
        raise PictureError("missing") from None
    except NotRegularError:
        raise PictureError("no regular file") from None
    except TooManyBytesError:
        raise PictureError("too large") from None
    except (OSError, ValueError):  # a folder, no permission, a NUL in the name
        raise PictureError("unreadable") from None
    if not content:
        raise PictureError("empty")
    return content


def decode(content: bytes, max_pixels: int, *, seconds: float | None = None) -> Image:
    """Return the first frame as an upright RGB image; transparency shows white.

    Args:
        content: Bytes of an image file.
        max_pixels: Largest width * height that is decoded.
        seconds: Longest time that decoding may take, as far as its decoder can be stopped; None for no limit.

    Raises:
        PictureError: No image at all (a web page, for instance), too large, too elongated, too many scans, too slow, or
            corrupt.
    """
    return decoded(content, max_pixels, lambda image: image, seconds=seconds)


def decoded(content: bytes, max_pixels: int, use: Callable[[Image], T], *, seconds: float | None = None) -> T:
    """Decode an image and return what `use` makes of it.

    While it is decoded and used, its pixels count as in flight: all threads together have a limited number of them.

    Args:
        content: See `decode`.
        max_pixels: See `decode`.
        use: Makes something smaller of the image. Must not decode others.
        seconds: See `decode`.

    Raises:
        PictureError: See `decode`.
    """
    with ExitStack() as held:
        return use(_decode(content, max_pixels, seconds, held))


def _decode(content: bytes, max_pixels: int, seconds: float | None, held: ExitStack) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    stream = TimedBytes(content, seconds)
    try:
        with Pillow.open(stream, formats=_formats()) as image:
            check_size(image, max_pixels)
            pixels = image.width * image.height
            scans = jpeg_scans(content, _MOST_SCANS)
            if scans > _MOST_SCANS or scans * pixels > _FULL_SCANS * max_pixels:
                raise PictureError("too many scans")
            held.enter_context(_IN_FLIGHT.taking(pixels))
            stream.start()
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return to_rgb(image)
    except (PictureError, MemoryError):
        raise
    except TimeoutError:
        raise PictureError("too slow") from None
    except Pillow.DecompressionBombError:
        raise PictureError("too large") from None
    except UnidentifiedImageError:
        raise PictureError("no image") from None
    except Exception:  # decoders of damaged files raise nearly anything
        raise PictureError("corrupt") from None


def pixels_in_flight() -> int:
    """Return the pixels that are being decoded by all threads together."""
    return _IN_FLIGHT.used


def upright(image: Image, max_pixels: int) -> Image:
    """Return an image that somebody else opened as a file of the same content would be: upright RGB, within the limits.

    Raises:
        PictureError: Too large, too elongated, or its file is corrupt.
    """
    from PIL import ImageOps

    check_size(image, max_pixels)
    try:
        image.load()
        return to_rgb(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception:  # as in `decode`
        raise PictureError("corrupt") from None


def check_size(image: Image, max_pixels: int) -> None:
    """Look at width and height alone.

    Raises:
        PictureError: Empty, too large or too elongated.
    """
    width, height = image.size
    if not width * height:
        raise PictureError("empty")
    if width * height > max_pixels:
        raise PictureError("too large")
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise PictureError("too elongated")


@lru_cache
def _formats() -> tuple[str, ...]:
    """Return the accepted formats that this build of Pillow reads; an unregistered name would make every open fail."""
    from PIL import Image as Pillow

    Pillow.init()
    return tuple(name for name in _FORMATS if name in Pillow.OPEN)


def to_rgb(image: Image) -> Image:
    """Return an image of any mode as RGB with 8 bits a channel; transparency shows white."""
    from PIL import Image as Pillow

    if image.mode.startswith(("I", "F")):  # more than 8 bits; Pillow's own conversion would clip
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        result = Pillow.new("RGB", image.size)
        for box in _strips(image):
            layered = image.crop(box).convert("RGBA")
            result.paste(Pillow.alpha_composite(Pillow.new("RGBA", layered.size, "white"), layered).convert("RGB"), box)
        return result
    return image.convert("RGB")


def _eight_bits(image: Image) -> Image:
    """Scale an image of deeper numbers to 8 bits, strip by strip: all of it in floats takes gigabytes."""
    from PIL import Image as Pillow

    def strips() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        return (np.nan_to_num(np.asarray(image.crop(box), dtype=np.float64)) for box in _strips(image))

    peak = max((float(strip.max(initial=0.0)) for strip in strips()), default=0.0)
    deep = image.mode.startswith("I;16") or (image.mode == "I" and peak > 255.0)
    top = max(peak, 65535.0 if deep else 1.0 if image.mode == "F" else 255.0)
    grey, row = Pillow.new("L", image.size), 0
    for strip in strips():
        part = Pillow.fromarray(np.clip(strip * (255.0 / top), 0, 255).round().astype(np.uint8))
        grey.paste(part, (0, row))
        row += part.height
    return grey


def _strips(image: Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes of whole rows from top to bottom."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield (0, top, image.width, min(top + rows, image.height))
