"""Drawings show their colour, stay inside, and are the same alone and in a batch."""

from __future__ import annotations

import numpy as np

from vixml.core.seeding import numpy_generator
from vixml.demo.drawing import COLOURS, JITTER_WIDTH, PATTERNS, SECOND_COLOURS, SHAPES, draw_batch


def test_drawing_shows_its_colour_and_stays_inside():
    num = len(COLOURS) * len(SHAPES)
    colour, shape = np.divmod(np.arange(num), len(SHAPES))
    jitter = numpy_generator(0, "test").random((num, JITTER_WIDTH))
    zeros = np.zeros(num, dtype=np.int64)
    pictures = draw_batch(colour=colour, second=zeros, pattern=zeros, shape=shape, jitter=jitter, pixels=64)
    assert pictures.shape == (num, 64, 64, 3)
    assert pictures.dtype == np.uint8
    spread = np.ptp(pictures.reshape(num, -1, 3).astype(int), axis=2)
    assert (spread[:, [0, 63, -64, -1]] == 0).all()  # corners are grey ground
    assert ((spread > 40).mean(axis=1) > 0.15).all()


def test_a_batch_equals_its_pictures_one_by_one():
    generator = numpy_generator(1, "test")
    sizes = {"colour": COLOURS, "second": SECOND_COLOURS, "pattern": PATTERNS, "shape": SHAPES}
    choice = {name: generator.integers(0, len(options), 9) for name, options in sizes.items()}
    jitter = generator.random((9, JITTER_WIDTH))
    together = draw_batch(**choice, jitter=jitter, pixels=24)
    for row in range(9):
        alone = draw_batch(**{name: values[[row]] for name, values in choice.items()}, jitter=jitter[[row]], pixels=24)
        np.testing.assert_array_equal(alone[0], together[row])
