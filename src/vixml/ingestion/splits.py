"""A validation set carved from the training points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import ConfigError
from vixml.core.seeding import numpy_generator

_SHARE, _LEAST, _MOST, _LARGEST_SHARE = 0.1, 100, 2_000, 0.25


def automatic_fraction(num_points: int) -> float:
    """Return the share of training points that `auto` sets aside.

    Few of them choose weights badly; many are missed in training.

    Args:
        num_points: Number of training points.
    """
    wanted = min(max(_SHARE * num_points, _LEAST), _MOST, _LARGEST_SHARE * num_points)
    return wanted / num_points if wanted >= 1 else 0.0  # too few to part with any


def carve_validation(
    num_points: int, fraction: float, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split points into training and validation, by whole groups where there are groups.

    Groups come in random order; each one goes to validation if it still fits into `fraction` of all points.

    Args:
        num_points: Number n of points.
        fraction: Share of validation, 0 to below 1; 0 gives an empty validation set.
        seed: Seed of the order.
        groups: int64 [n], equal numbers for points that must stay together; None: each point is alone.

    Returns:
        Rows of training and rows of validation, int64, ascending.

    Raises:
        ConfigError: The fraction is positive but no group, or every point, would be set aside.
    """
    target = round(num_points * fraction)
    chosen = np.zeros(num_points, dtype=bool)
    rng = numpy_generator(seed, "validation")
    if groups is None:
        chosen[rng.permutation(num_points)[:target]] = True
    else:
        _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        order = rng.permutation(len(sizes))
        taken, free = np.zeros(len(sizes), dtype=bool), target
        for number, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
            if size <= free:
                taken[number] = True
                free -= size
        chosen = taken[group]
    if fraction > 0 and (not chosen.any() or chosen.all()):
        raise ConfigError(
            "no validation set can be carved",
            found=f"validation_fraction {fraction} of {num_points} points"
            + ("" if groups is None else f" in {len(sizes)} groups"),
            expected="at least one point, or group, on each side",
            remedy="change `data.validation_fraction`; 0 means no validation set.",
        )
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
