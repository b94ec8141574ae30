"""Pictures of the demo catalogue: one shape in one colour, with a pattern in a second one, on a plain background.

Whole batches are rasterised as arrays (signed distances, one pixel of anti-aliasing); Pillow only writes the PNG.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 35),
    "yellow": (245, 210, 30),
    "green": (40, 160, 60),
    "cyan": (60, 205, 215),
    "blue": (35, 60, 200),
    "magenta": (205, 60, 190),
}
"""Main colours, far apart in hue."""
SECOND_COLOURS: dict[str, tuple[int, int, int]] = {"white": (250, 250, 250), "black": (25, 25, 25)}
"""Colours of patterns and outlines."""
PATTERNS: tuple[str, ...] = ("plain", "stripes", "checks", "dots")
"""Fillings."""
SHAPES: tuple[str, ...] = ("disc", "square", "triangle", "ring", "cross")
"""Outlines."""
JITTER_WIDTH = 7
"""Random numbers that one picture consumes."""

_Floats = NDArray[np.float32]


def draw_batch(
    *,
    colour: NDArray[np.int64],
    second: NDArray[np.int64],
    pattern: NDArray[np.int64],
    shape: NDArray[np.int64],
    jitter: NDArray[np.float64],
    pixels: int,
) -> NDArray[np.uint8]:
    """Draw n pictures.

    Args:
        colour: int64 [n], indices into `COLOURS`.
        second: int64 [n], indices into `SECOND_COLOURS`.
        pattern: int64 [n], indices into `PATTERNS`.
        shape: int64 [n], indices into `SHAPES`.
        jitter: float64 [n, JITTER_WIDTH] in [0, 1): place (2), size, rotation, shade, background, phase of the pattern.
        pixels: Width and height.

    Returns:
        uint8 [n, pixels, pixels, 3], RGB.
    """
    place_x, place_y, size, turn, shade, ground, phase = (jitter.T[:, :, None, None]).astype(np.float32)
    grid = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels * 2.0 - 1.0
    x, y = grid[None, None, :] - 0.16 * (2 * place_x - 1), grid[None, :, None] - 0.16 * (2 * place_y - 1)
    radius, angle = 0.68 + 0.14 * size, np.deg2rad(18.0) * (2 * turn - 1)
    u = (x * np.cos(angle) + y * np.sin(angle)) / radius
    v = (y * np.cos(angle) - x * np.sin(angle)) / radius
    distance, ink = np.empty_like(u), np.zeros_like(u)
    per_unit = (radius * pixels / 2.0).astype(np.float32)  # pixels per unit of (u, v)
    for number, name in enumerate(SHAPES):
        rows = np.flatnonzero(shape == number)
        distance[rows] = _distance(name, u[rows], v[rows])
    for number, name in enumerate(PATTERNS):
        rows = np.flatnonzero(pattern == number)
        ink[rows] = _ink(name, u[rows], v[rows], distance[rows], phase[rows], per_unit[rows])
    body = np.clip(0.5 - distance * per_unit, 0.0, 1.0)[..., None]
    tone = (0.82 + 0.18 * shade)[..., None]
    main = np.array(list(COLOURS.values()), dtype=np.float32)[colour][:, None, None, :] * tone
    other = np.array(list(SECOND_COLOURS.values()), dtype=np.float32)[second][:, None, None, :]
    filling = main + (other - main) * ink[..., None]
    background = (205.0 + 25.0 * ground)[..., None]
    return np.rint(background + (filling - background) * body).astype(np.uint8)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return `picture`, uint8 [height, width, 3], as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def _distance(shape: str, u: _Floats, v: _Floats) -> NDArray[np.floating]:
    """Return the signed distance to the outline: negative inside, in units of the radius."""
    if shape == "disc":
        return np.sqrt(u * u + v * v) - np.float32(0.95)
    if shape == "square":
        return np.maximum(abs(u), abs(v)) - 0.84
    if shape == "triangle":
        return np.maximum(v - 0.62, 0.866 * abs(u) - 0.5 * v - 0.55)
    if shape == "ring":
        return abs(np.hypot(u, v) - 0.74) - 0.27
    return np.minimum(np.maximum(abs(u) - 1.0, abs(v) - 0.36), np.maximum(abs(u) - 0.36, abs(v) - 1.0))


def _ink(
    pattern: str, u: _Floats, v: _Floats, distance: _Floats, phase: _Floats, per_unit: _Floats
) -> NDArray[np.floating]:
    """Return the share of the second colour in each pixel, 0 to 1."""
    if pattern == "plain":
        return np.zeros_like(u)
    if pattern == "stripes":
        return np.clip(0.5 + 3.0 * np.sin(10.0 * v + 6.2832 * phase), 0.0, 1.0)
    if pattern == "checks":
        return np.clip(0.5 + 4.0 * np.sin(7.0 * u + 6.2832 * phase) * np.sin(7.0 * v), 0.0, 1.0)
    nearest = np.hypot((u / 0.45 + phase) % 1.0 - 0.5, (v / 0.45) % 1.0 - 0.5) * 0.45
    return np.clip(0.5 - (nearest - 0.13) * per_unit, 0.0, 1.0)
