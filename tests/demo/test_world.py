"""The demo's world: families hold every label once, words find the family and pictures the label."""

from __future__ import annotations

import numpy as np
import pytest

from vixml.data.sides import Side
from vixml.demo.catalogue import draw_catalogue
from vixml.demo.world import Points, World, affinity
from vixml.params.data.ingestion import FabricationParams


@pytest.fixture(scope="module")
def catalogue() -> tuple[World, dict[str, Points]]:
    return draw_catalogue(FabricationParams(), seed=11)


def test_words_find_the_family_and_pictures_the_label(catalogue):
    """The best ranking by words alone stays near 40 % P@1; pictures lift it far above."""
    world, points = catalogue
    train, test = points[Side.TRAIN], points[Side.TEST]
    relevant = np.zeros((len(test.attributes), 1500), dtype=bool)
    relevant[np.repeat(np.arange(len(relevant)), np.diff(test.offsets)), test.targets] = True
    candidates = world.members[test.attributes.family]
    by_words = np.where(candidates < 0, -1, np.bincount(train.targets, minlength=1500)[candidates])
    by_picture = affinity(world, test.attributes)

    def precision(scores: np.ndarray) -> float:
        best = candidates[np.arange(len(scores)), scores.argmax(axis=1)]
        return float(relevant[np.arange(len(best)), best].mean())

    assert 0.25 < precision(by_words) < 0.45
    assert precision(by_picture) > 0.85
    most_frequent = np.bincount(train.targets).argmax()
    assert relevant[:, most_frequent].mean() < 0.1


def test_families_hold_every_label_once(catalogue):
    world, _ = catalogue
    members = world.members[world.members >= 0]
    assert sorted(members.tolist()) == list(range(1500))
    assert (world.members >= 0).sum(axis=1).min() >= 14
    assert world.popularity.sum() == pytest.approx(1.0)
