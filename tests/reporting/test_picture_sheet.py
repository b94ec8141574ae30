import io

import numpy as np
from PIL import Image

from vixml.reporting.picture_sheet import picture_sheet

from .conftest import make_test_set


def opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_a_sheet_shows_pictures_of_both_sides_and_passes_over_broken_ones(tmp_path):
    data = make_test_set(tmp_path, 80, 30)
    sheet = opened(picture_sheet({"Queries": data.items, "Labels": data.labels}, root=tmp_path, seed=0))
    assert sheet.shape == (2 * (2 * 16 + 2 * (112 + 16 + 10)) + 10, 10 + 8 * (112 + 10), 3)
    rows = [sheet[top + 32 : top + 32 + 112] for top in (10, 10 + 138, 10 + 308, 10 + 308 + 138)]
    for row in rows:  # eight tiles, each with the colours of a picture
        for column in range(8):
            tile = row[:, 10 + 122 * column : 122 + 122 * column]
            assert (tile != 255).any(axis=2).mean() > 0.5


def test_the_same_seed_draws_the_same_pictures(tmp_path):
    data = make_test_set(tmp_path, 80, 30)
    first, same, other = (picture_sheet({"Queries": data.items}, root=tmp_path, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first != other


def test_without_pictures_the_sheet_says_so(tmp_path):
    data = make_test_set(tmp_path, 80, 30)
    bare = data.items.assign(images=[[] for _ in range(80)])
    sheet = opened(picture_sheet({"Queries": bare}, root=tmp_path, seed=0))
    assert (sheet[:30] < 255).any(), "a line of text"
    assert (sheet[40:] == 255).all()
