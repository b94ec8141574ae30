"""Pictures of the data set on one sheet: what a vision model gets to see, at a glance."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vixml.core.seeding import numpy_generator
from vixml.images.decode import PictureError, decode, read_bytes
from vixml.reporting.compare import beginning

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

_COLUMNS, _ROWS = 8, 2
_TILE, _GAP, _LINE = 112, 10, 16  # pixels
_MOST_PIXELS = 40_000_000
_LETTERS = 17  # of a text under a tile


def picture_sheet(sides: dict[str, pd.DataFrame], *, root: Path, seed: int) -> bytes:
    """Draw random items that have a picture, two rows of eight a side, with the begin of their texts.

    Args:
        sides: Heading -> items with columns text and images; n rows each.
        root: Folder of the raw files that the images' paths start from.
        seed: Root of the random numbers.

    Returns:
        A PNG file. A side without any readable picture says so.
    """
    from PIL import Image, ImageDraw

    drawn = [(heading, list(_pictures(items, root.resolve(), seed, heading))) for heading, items in sides.items()]
    width = _GAP + _COLUMNS * (_TILE + _GAP)
    heights = [2 * _LINE + max(1, -(-len(tiles) // _COLUMNS)) * (_TILE + _LINE + _GAP) for _, tiles in drawn]
    sheet = Image.new("RGB", (width, sum(heights) + _GAP), "white")
    pen, top = ImageDraw.Draw(sheet), _GAP
    for (heading, tiles), height in zip(drawn, heights, strict=True):
        pen.text((_GAP, top), heading if tiles else f"{heading}: no picture", fill="#1c1e21")
        for position, (picture, text) in enumerate(tiles):
            left = _GAP + position % _COLUMNS * (_TILE + _GAP)
            above = top + 2 * _LINE + position // _COLUMNS * (_TILE + _LINE + _GAP)
            sheet.paste(picture, (left + (_TILE - picture.width) // 2, above + (_TILE - picture.height) // 2))
            pen.text((left, above + _TILE + 2), text, fill="#5b6068")
        top += height
    stream = io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _pictures(items: pd.DataFrame, root: Path, seed: int, heading: str) -> Iterator[tuple[Image, str]]:
    """Yield the first picture and text of random items, at most a sheet's; one that cannot be read is skipped."""
    rows = np.flatnonzero(items["images"].map(len).to_numpy())
    left = _COLUMNS * _ROWS
    for row in numpy_generator(seed, "picture_sheet", heading).permutation(rows)[: 2 * left]:
        try:
            picture = decode(read_bytes(root, items["images"].iloc[row][0]), _MOST_PIXELS)
        except PictureError:
            continue
        picture.thumbnail((_TILE, _TILE))
        yield picture, beginning(str(items["text"].iloc[row]), _LETTERS)
        left -= 1
        if not left:
            return
