"""Pictures of questions, checked before a model sees them, and those that the page shows."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vixml.core.errors import DataError
from vixml.images.decode import PictureError, decoded, read_bytes
from vixml.serving.web.limits import DECODE_SECONDS, MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from PIL.Image import Image

    from vixml.serving.predictor import Predictor

_MAX_PIXELS = 50_000_000
_THUMBNAIL = 160

Roots = tuple[Path | None, ...]
"""Resolved folders of a model's pictures: of relative paths, if known, then those of labels added after training."""


def picture_roots(predictors: Mapping[str, Predictor], allowed: Sequence[Path] = ()) -> dict[str, Roots]:
    """Return the folders of each model's pictures; a text-only one borrows the first from another of its data set.

    A predictor that was made elsewhere must not say which folders of this machine are shown: its pictures come from
    the folders that are `allowed`, and from the first of them where its paths are relative.
    """
    bundles = {name: predictor.bundle for name, predictor in predictors.items()}
    known = {one.settings.dataset: root for one in bundles.values() if (root := one.picture_roots[0]) is not None}
    given = [Path(root).resolve() for root in allowed]
    found = {}
    for name, one in bundles.items():
        first, *added = one.picture_roots
        first = first or known.get(one.settings.dataset) or (given[0] if given else None)
        found[name] = (first, *added, *given)
    return found


def root_of(roots: Roots, files: Sequence[str]) -> Path | None:
    """Return the folder that the first of some image files lies in; None without a file, or where it is not known."""
    if not len(files):
        return None
    return next((one for one in roots[1:] if one and Path(files[0]).is_relative_to(one)), roots[0])


def image_bytes(text: str) -> bytes:
    """Decode a base64 image, with or without the head of a data URL.

    Raises:
        DataError: Not base64, or too large.
    """
    try:
        content = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise DataError("an image is not base64", expected="the bytes of an image file, base64-encoded") from err
    if len(content) > MAX_IMAGE_BYTES:
        raise DataError("an image is too large", found=f"{len(content)} bytes", expected=f"at most {MAX_IMAGE_BYTES}")
    return content


def check_image(content: bytes) -> None:
    """Make sure that a model can see the image, also where it is a text-only one.

    Raises:
        DataError: It cannot be read.
    """
    try:
        decoded(content, _MAX_PIXELS, lambda image: None, seconds=DECODE_SECONDS)
    except PictureError as err:
        raise unreadable(err.reason) from err


def unreadable(reason: str) -> DataError:
    """Return the error of an image that cannot be read, with what to do."""
    remedy = "use a PNG, JPEG, WebP, GIF or BMP file of moderate size."
    return DataError("the image cannot be read", found=reason, remedy=remedy)


def thumbnail(predictor: Predictor, roots: Roots, side: str, row: int) -> bytes:
    """Return the first picture of a label or training query as a small PNG.

    Args:
        predictor: The model.
        roots: Resolved folders of its pictures, which no path may leave.
        side: `label` or `train`.
        row: Row of the label or training query.

    Raises:
        PictureError: It does not exist.
    """
    if side != "label" and not predictor.explains:
        raise PictureError("missing")
    table = predictor.labels if side == "label" else predictor.bundle.train_items
    files = table["images"].iloc[row] if row < len(table) else []
    root = root_of(roots, files)
    if root is None:
        raise PictureError("missing")
    return decoded(read_bytes(root, files[0]), _MAX_PIXELS, _small, seconds=DECODE_SECONDS)


def _small(image: Image) -> bytes:
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
