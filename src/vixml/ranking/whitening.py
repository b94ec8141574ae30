"""PCA whitening of dense vectors, without which a few strong directions of a frozen network drown all others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.core.guards.untrusted import check_finite, opening, read_arrays

_SAMPLE = 50_000


@dataclass(frozen=True)
class Whitening:
    """Maps vectors to unit vectors whose directions count alike.

    Args:
        mean: Mean of the unit input vectors float32 [D].
        projection: float32 [D, d].
    """

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[Any], *, dims: int = 512, floor: float = 1e-3) -> Whitening:
        """Learn from training vectors, never from test ones.

        Args:
            vectors: [n, D]; rows of zeros (no image) are skipped, and at most 50,000 evenly spread ones are read.
            dims: Most directions kept, the strongest ones.
            floor: Added to every variance, as a fraction of the largest: directions in which the sample hardly varies
                stay small, because they would only amplify noise.
        """
        sample = _unit(np.asarray(vectors[:: max(1, -(-len(vectors) // _SAMPLE))], dtype=np.float32))
        sample = sample[sample.any(axis=1)]
        width = vectors.shape[1]
        mean = sample.mean(axis=0) if len(sample) else np.zeros(width, dtype=np.float32)
        centred = (sample - mean).astype(np.float64)
        values, axes = np.linalg.eigh(centred.T @ centred / max(1, len(sample)))
        scale = np.sqrt(np.maximum(values, 0) + floor * max(values[-1], 1e-12))
        return cls(mean, np.ascontiguousarray((axes / scale)[:, -dims:], dtype=np.float32))

    def apply(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Return unit rows float32 [n, d]; a row of zeros stays one.

        Raises:
            DataError: The vectors have another width than those it was fitted on.
        """
        if vectors.shape[1] != len(self.mean):
            raise DataError(
                "these vectors do not fit the whitening",
                found=f"{vectors.shape[1]} numbers a vector",
                expected=f"{len(self.mean)}",
            )
        rows = np.asarray(vectors, dtype=np.float32)
        whitened = _unit(np.asarray((_unit(rows) - self.mean) @ self.projection, dtype=np.float32))
        whitened[~rows.any(axis=1)] = 0
        return whitened

    def save(self, file: Path) -> None:
        """Write `file` (.npz)."""
        np.savez(file, mean=self.mean, projection=self.projection)

    @classmethod
    def open(cls, file: Path) -> Whitening:
        """Read what `save` wrote.

        Raises:
            StateError: The file is missing or damaged.
        """
        arrays = read_arrays(file)
        with opening(file, "a whitening is missing or damaged"):
            mean, projection = arrays["mean"], arrays["projection"]
            if projection.ndim != 2 or mean.shape != projection.shape[:1]:
                raise ValueError(f"a mean {mean.shape} and a projection {projection.shape}")
        check_finite(file, projection)
        return cls(mean, projection)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
