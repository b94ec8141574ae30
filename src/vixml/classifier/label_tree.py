"""A probabilistic label tree: which clusters of labels a text is about, then which labels of these.

Each level scores the children of the few best nodes of the level above; a label's score is the product along its path.
A label is so compared with its neighbours in the tree alone, and a query costs as many classifiers as these have
children, not as many as there are labels.

Source: Prabhu et al., Parabel, WWW 2018; Yu et al., PECOS (XR-Linear), JMLR 2022, whose transformation of a node's
score we take: exp(-max(0, 1 - s) ** 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.guards.untrusted import opening, read_arrays, read_sparse
from vixml.retrieval.index import SearchResult

_CELLS = 1 << 25  # most scores of a level computed at once: 128 MB


@dataclass(frozen=True)
class Level:
    """The classifiers of all nodes of one level.

    Args:
        weights: CSR float32 [D, m].
        bias: float32 [m].
        parents: Each node's parent in the level above int64 [m]; zeros in the first level.
    """

    weights: sp.csr_matrix
    bias: NDArray[np.float32]
    parents: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.parents)

    def take(self, nodes: NDArray[np.int64]) -> Level:
        """Return some of the nodes."""
        return Level(sp.csr_matrix(self.weights[:, nodes]), self.bias[nodes], self.parents[nodes])


@dataclass(frozen=True)
class LabelTree:
    """A trained tree.

    Args:
        levels: From the root's children down to the labels.
        labels: Row of each node of the last level int64; labels without a training query have none.
        beam: Nodes of a level whose children are searched.
    """

    levels: tuple[Level, ...]
    labels: NDArray[np.int64]
    beam: int

    def search(self, features: sp.csr_matrix, k: int) -> SearchResult:
        """Return scores float32 [n, k] from 0 to 1 and labels int64 [n, k], best first, padded with -inf and -1.

        Args:
            features: Sparse features of n queries, CSR [n, D].
            k: Labels wanted.
        """
        scores = np.full((features.shape[0], k), -np.inf, dtype=np.float32)
        labels = np.full(scores.shape, -1, dtype=np.int64)
        step = max(1, _CELLS // max(1, *map(len, self.levels)))
        for begin in range(0, len(scores), step):
            block = slice(begin, begin + step)
            found = self._descend(features[block])
            best = _largest(found, k)
            value = np.take_along_axis(found, best, axis=1)
            width = best.shape[1]
            scores[block, :width] = np.where(value > 0, value, -np.inf)
            labels[block, :width] = np.where(value > 0, self.labels[best], -1)
        return scores, labels

    def _descend(self, features: sp.csr_matrix) -> NDArray[np.float32]:
        """Return the scores of the last level float32 [n, m]; 0 outside the beam."""
        above = np.ones((features.shape[0], 1), dtype=np.float32)
        for level in self.levels:
            near = (features @ level.weights).toarray()
            near += level.bias
            above = np.exp(-(np.maximum(0, 1 - near) ** 3)) * above[:, level.parents]
            if level is not self.levels[-1] and len(level) > self.beam:
                kept = _largest(above, self.beam)
                inside = np.zeros_like(above)
                np.put_along_axis(inside, kept, np.take_along_axis(above, kept, axis=1), axis=1)
                above = inside
        return above

    def among(self, rows: NDArray[np.int64]) -> LabelTree:
        """Return the tree of some labels, which are then called 0, 1, ... in the order of `rows` int64 [l]."""
        place = np.full(max(int(self.labels.max(initial=-1)), int(rows.max(initial=-1))) + 1, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(place[self.labels] >= 0)
        return replace(self, levels=(*self.levels[:-1], self.levels[-1].take(kept)), labels=place[self.labels[kept]])

    def save(self, folder: Path) -> None:
        """Write `tree.npz` and `tree_{level}.npz` into `folder`, which exists."""
        arrays: dict[str, Any] = {"labels": self.labels, "beam": np.array(self.beam)}
        for number, level in enumerate(self.levels):
            arrays |= {f"bias_{number}": level.bias, f"parents_{number}": level.parents}
        np.savez(folder / "tree.npz", **arrays)
        for number, level in enumerate(self.levels):
            sp.save_npz(folder / f"tree_{number}.npz", level.weights)

    @classmethod
    def open(cls, folder: Path, *, width: int, num_labels: int) -> LabelTree:
        """Read what `save` wrote.

        Args:
            folder: The folder.
            width: Number of features D.
            num_labels: Labels there are.

        Raises:
            StateError: A file is missing or damaged.
        """
        file = folder / "tree.npz"
        arrays = read_arrays(file)
        with opening(file):
            labels, beam = arrays.pop("labels"), int(arrays.pop("beam"))
            _check("labels", labels, "i", num_labels)
            if beam < 1 or len(arrays) % 2:
                raise ValueError(f"a beam of {beam}, {len(arrays)} arrays")
            forms = [(arrays[f"bias_{n}"], arrays[f"parents_{n}"]) for n in range(len(arrays) // 2)]
            above = 1
            for bias, parents in forms:
                _check("parents", parents, "i", above)
                _check("biases", bias, "f", None)
                if bias.shape != parents.shape:
                    raise ValueError(f"{bias.shape} biases of {parents.shape} nodes")
                above = len(parents)
            if not forms or len(labels) != above:
                raise ValueError(f"{len(labels)} labels of {above} nodes")
        levels = (
            Level(read_sparse(folder / f"tree_{number}.npz", shape=(width, len(parents))), bias, parents)
            for number, (bias, parents) in enumerate(forms)
        )
        return cls(tuple(levels), labels, beam)


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the columns of each row's k largest values int64 [n, min(k, m)], largest first."""
    k = min(k, values.shape[1])
    best = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1) if k else np.zeros((len(values), 0), int)
    order = np.argsort(-np.take_along_axis(values, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _check(name: str, values: NDArray[np.generic], kind: str, below: int | None) -> None:
    """Refuse an array that is no row of numbers, of other numbers, or with one outside 0..below-1."""
    if values.ndim != 1 or values.dtype.kind != kind or not np.isfinite(values).all():
        raise ValueError(f"{name} of the shape {values.shape} and type {values.dtype}")
    if below is not None and len(values) and not (values.min() >= 0 and values.max() < below):
        raise ValueError(f"{name} from {values.min()} to {values.max()}, outside 0 to {below - 1}")
