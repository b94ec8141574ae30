"""Head, torso and tail: labels by how often they occur in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUPS = ("head", "torso", "tail")


def label_groups(frequencies: NDArray[np.integer]) -> NDArray[np.int8]:
    """Split the labels into head, torso and tail: each holds about a third of all training pairs.

    Args:
        frequencies: Training points of each label, [L]. Labels without any belong to the tail.

    Returns:
        Position in `GROUPS` of each label, int8 [L]; equally frequent labels are in one group.
    """
    order = np.argsort(-frequencies, kind="stable")
    before = np.cumsum(frequencies[order]) - frequencies[order]
    share = before / max(1, frequencies.sum())
    group = np.empty(len(frequencies), dtype=np.int8)
    group[order] = np.where(frequencies[order] > 0, np.minimum(share * 3, 2), 2).astype(np.int8)
    # the first label of a frequency decides for all of that frequency
    _, first, inverse = np.unique(-frequencies[order], return_index=True, return_inverse=True)
    group[order] = group[order][first][inverse]
    return group


def group_bounds(frequencies: NDArray[np.integer]) -> tuple[int, int]:
    """Return the least training points of a head label and of a torso label, which the groups follow from."""
    groups = label_groups(frequencies)
    head, torso = (
        int(frequencies[groups <= place].min()) if (groups <= place).any() else int(frequencies.max(initial=0)) + 1
        for place in (0, 1)
    )
    return head, torso


def groups_within(frequencies: NDArray[np.integer], bounds: tuple[int, int]) -> NDArray[np.int8]:
    """Return the position in `GROUPS` of labels by their frequencies (any shape), given the groups' bounds."""
    head, torso = bounds
    return np.where(frequencies >= head, 0, np.where(frequencies >= torso, 1, 2)).astype(np.int8)
