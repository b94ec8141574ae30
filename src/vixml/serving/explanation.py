"""Why a query got its labels: what each part of the ranking gave, who resembles it, and what its images changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vixml.ranking.features import Described
    from vixml.serving.answers import Neighbour
    from vixml.serving.predictor import Predictor

DEEPEST = 100
"""Places that are looked at in the ranking without images."""


@dataclass(frozen=True)
class Reason:
    """Why one label was given.

    Args:
        parts: Part of the ranking -> its share of the score, largest first, 1 together; empty where the ranking is one
            comparison, without parts.
        neighbours: How many of the nearest training queries that were asked for have the label.
        place_without_image: Its place by the text alone, from 1; None below the first 100, or where nothing was asked.
    """

    parts: dict[str, float]
    neighbours: int
    place_without_image: int | None

    def facts(self) -> dict[str, Any]:
        """Return the values by name."""
        return asdict(self)


def reasons(
    predictor: Predictor,
    queries: Described,
    rows: NDArray[np.int64],
    near: Sequence[Neighbour],
    *,
    text_alone: str | None,
) -> list[Reason]:
    """Explain the labels of one query.

    Args:
        predictor: The model.
        queries: The query, from `Predictor.search`.
        rows: Its labels int64 [k], best first.
        near: The nearest training queries.
        text_alone: The query's text, where it also has an image that the model saw; None: nothing is left out.
    """
    shares = predictor.shares(queries, rows[None])
    places: dict[int, int] = {}
    if text_alone is not None:
        without = predictor.search([text_alone], None, DEEPEST).rows[0]
        places = {int(row): place for place, row in enumerate(without, start=1) if row >= 0}
    having = np.zeros(len(rows), dtype=np.int64)
    if near:
        known = predictor.bundle.train_relevance[[one.row for one in near]]
        having += np.asarray((known[:, rows] > 0).sum(axis=0)).ravel()
    return [Reason(_of_one(shares, place), int(having[place]), places.get(int(row))) for place, row in enumerate(rows)]


def _of_one(shares: dict[str, NDArray[np.float32]], place: int) -> dict[str, float]:
    given = {name: float(share[0, place]) for name, share in shares.items() if share[0, place] > 0}
    total = sum(given.values())
    return {name: value / total for name, value in sorted(given.items(), key=lambda one: -one[1])}
