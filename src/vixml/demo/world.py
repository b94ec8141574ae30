"""The demo catalogue as numbers: what products are, and which labels are relevant to them.

Labels come in FAMILIES that share brand and category, which stand in the titles. Inside a family the relevant labels
are those that LOOK like the product: same main colour, pattern, shape. Words alone therefore lead to the right family
and hardly further; pictures tell its members apart.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vixml.demo.drawing import COLOURS, PATTERNS, SECOND_COLOURS, SHAPES
from vixml.demo.words import MATERIALS, USES
from vixml.params.data.ingestion import FabricationParams

_CARDINALITY = {
    "use": len(USES),
    "material": len(MATERIALS),
    "colour": len(COLOURS),
    "second": len(SECOND_COLOURS),
    "pattern": len(PATTERNS),
    "shape": len(SHAPES),
}
# How much an equal attribute adds to the affinity of a product and a label, and how often a product surely has the
# attribute of the label after which it was modelled (else a random one). Colour leads; words inside a family count
# little, and the product keeps few of them, or use and material would spell out the label.
_WEIGHT = {"use": 0.5, "material": 0.2, "colour": 3.0, "second": 0.3, "pattern": 1.5, "shape": 1.0}
_KEPT = {"use": 0.3, "material": 0.0, "colour": 0.9, "second": 0.6, "pattern": 0.8, "shape": 0.75}
_NOISE = 0.7
_WITHIN_FAMILY_EXPONENT = 0.4
_POPULARITY_WEIGHT = 0.6
_NUM_TARGETS = np.array([2, 3, 4, 5, 6])
_NUM_TARGETS_SHARE = np.array([0.30, 0.30, 0.20, 0.12, 0.08])


@dataclass(frozen=True)
class Attributes:
    """Attributes of n products, one int64 array [n] each."""

    family: NDArray[np.int64]
    use: NDArray[np.int64]
    material: NDArray[np.int64]
    colour: NDArray[np.int64]
    second: NDArray[np.int64]
    pattern: NDArray[np.int64]
    shape: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.family)

    def take(self, rows: NDArray[np.int64]) -> Attributes:
        """Return the products `rows`."""
        return Attributes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class World:
    """The label side.

    Args:
        labels: Attributes of the L labels.
        members: int64 [families, largest family], the labels of each family, padded with -1.
        popularity: float64 [L], the chance that a product is modelled after the label; sums to 1.
    """

    labels: Attributes
    members: NDArray[np.int64]
    popularity: NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Products with their ground truth.

    Args:
        attributes: Attributes of the n products.
        offsets: int64 [n + 1], where the targets of each product begin.
        targets: int64 [offsets[-1]], label rows, ascending within a product, 2 to 6 each.
        own_label: int64 [n], the label that is the very same product, or -1.
    """

    attributes: Attributes
    offsets: NDArray[np.int64]
    targets: NDArray[np.int64]
    own_label: NDArray[np.int64]


def build_world(params: FabricationParams, rng: np.random.Generator) -> World:
    """Draw the labels: families of nearly equal size, Zipf-like popularity, attributes at random."""
    num_labels = params.num_labels
    num_families = max(1, num_labels // params.labels_per_family)
    family = rng.permutation(np.arange(num_labels) % num_families)
    members = np.full((num_families, -(-num_labels // num_families)), -1, dtype=np.int64)
    order = np.argsort(family, kind="stable")
    starts = np.searchsorted(family[order], np.arange(num_families))
    slot = np.arange(num_labels) - starts[family[order]]
    members[family[order], slot] = order
    family_weight = (1.0 + rng.permutation(num_families)) ** -params.zipf_exponent
    within = np.empty(num_labels)
    within[order] = (1.0 + slot) ** -_WITHIN_FAMILY_EXPONENT
    popularity = family_weight[family] * within
    attributes = {name: rng.integers(0, size, num_labels) for name, size in _CARDINALITY.items()}
    # Colours go round within a family: no family is of one colour only.
    attributes["colour"][order] = (slot + rng.integers(0, len(COLOURS), num_families)[family[order]]) % len(COLOURS)
    return World(Attributes(family=family, **attributes), members, popularity / popularity.sum())


def draw_points(world: World, num_points: int, own_labels: NDArray[np.int64], rng: np.random.Generator) -> Points:
    """Draw products and the labels relevant to them.

    Args:
        world: The label side.
        num_points: Number n of products.
        own_labels: int64 [m], m <= n, distinct labels that shall appear as products too.
        rng: Random stream.

    Returns:
        The products in random order.
    """
    anchor = rng.choice(len(world.labels), size=num_points, p=world.popularity)
    own_label = np.full(num_points, -1, dtype=np.int64)
    own_rows = rng.permutation(num_points)[: len(own_labels)]
    anchor[own_rows] = own_label[own_rows] = own_labels
    drawn = {"family": world.labels.family[anchor]}
    for name, size in _CARDINALITY.items():
        kept = (rng.random(num_points) < _KEPT[name]) | (own_label >= 0)
        drawn[name] = np.where(kept, getattr(world.labels, name)[anchor], rng.integers(0, size, num_points))
    attributes = Attributes(**drawn)
    candidates = world.members[attributes.family]
    scores = affinity(world, attributes) + _NOISE * rng.gumbel(size=candidates.shape)
    scores[(candidates == own_label[:, None]) & (candidates >= 0)] = np.inf
    ranking = np.take_along_axis(candidates, np.argsort(-scores, axis=1, kind="stable"), axis=1)
    num_targets = rng.choice(_NUM_TARGETS, size=num_points, p=_NUM_TARGETS_SHARE)
    chosen = np.arange(ranking.shape[1]) < num_targets[:, None]
    # A pair in the filter file does not count at evaluation: such a product keeps two other targets at least.
    chosen[:, :3] |= (own_label >= 0)[:, None]
    targets = np.sort(np.where(chosen, ranking, np.iinfo(np.int64).max), axis=1)
    lengths = chosen.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Points(attributes, offsets, targets[np.arange(targets.shape[1]) < lengths[:, None]], own_label)


def affinity(world: World, attributes: Attributes) -> NDArray[np.float64]:
    """Return, without noise, how well each label of a product's family suits it.

    Args:
        world: The label side.
        attributes: Attributes of n products.

    Returns:
        float64 [n, largest family], aligned with `world.members[attributes.family]`.
    """
    candidates = world.members[attributes.family]
    scores = _POPULARITY_WEIGHT * np.log(world.popularity[candidates])
    for name, weight in _WEIGHT.items():
        scores += weight * (getattr(world.labels, name)[candidates] == getattr(attributes, name)[:, None])
    return np.where(candidates < 0, -np.inf, scores)
