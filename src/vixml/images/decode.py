"""Reading image files that nobody vouches for: every outcome is an RGB image or a reason why there is none."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

REASONS = ("ok", "outside root", "missing", "unreadable", "empty", "too large", "too elongated", "corrupt", "no image")
"""What can become of an image file; the position is its code, 0 is success."""

# Formats whose decoders live inside Pillow; others (EPS) would start external programs.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM")
_MAX_ASPECT = 200  # a resize by the shorter side would blow a longer strip up to gigabytes


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
        PictureError: Outside the root, missing, unreadable or empty.
    """
    path = root / PurePosixPath(file)
    try:
        resolved = path.resolve()
        if not any(resolved.is_relative_to(allowed) for allowed in (root, (root / "images").resolve())):
            raise PictureError("outside root")
        content = resolved.read_bytes()
    except FileNotFoundError:
        raise PictureError("missing") from None
    except (OSError, RuntimeError, ValueError):  # a folder, no permission, a loop of links, a NUL in the name
        raise PictureError("unreadable") from None
    if not content:
        raise PictureError("empty")
    return content


def decode(content: bytes, max_pixels: int) -> Image:
    """Return the first frame as an upright RGB image; transparency shows white.

    Args:
        content: Bytes of an image file.
        max_pixels: Largest width * height that is decoded.

    Raises:
        PictureError: No image at all (a web page, for instance), too large, too elongated or corrupt.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with Pillow.open(io.BytesIO(content), formats=_formats()) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError("too large")
            if max(width, height) > _MAX_ASPECT * min(width, height):
                raise PictureError("too elongated")
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except (PictureError, MemoryError):
        raise
    except Pillow.DecompressionBombError:
        raise PictureError("too large") from None
    except UnidentifiedImageError:
        raise PictureError("no image") from None
    except Exception:  # decoders of damaged files raise nearly anything
        raise PictureError("corrupt") from None


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
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        peak = float(values.max(initial=0.0))
        deep = image.mode.startswith("I;16") or (image.mode == "I" and peak > 255.0)
        top = max(peak, 65535.0 if deep else 1.0 if image.mode == "F" else 255.0)
        return Pillow.fromarray(np.clip(values * (255.0 / top), 0, 255).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layered = image.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")
