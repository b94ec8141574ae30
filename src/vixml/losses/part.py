"""The part of a loss that one of several ranks computes: some rows of the matrix of scores, and some of its columns.

The parts of all ranks add up to the loss of the whole matrix, and their gradients to its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_BLOCK = 1 << 22  # random numbers drawn at once of those that belong to other ranks


class RowDraws:
    """Uniform random numbers of some rows of a matrix, the same as if the whole matrix were drawn.

    Args:
        generator: Random stream of the CPU; it then stands where drawing the whole matrix leaves it.
        rows: Which rows.
        count: Number of all rows.
    """

    def __init__(self, generator: torch.Generator, rows: slice, count: int) -> None:
        self._generator, self._rows, self._count = generator, rows, count

    def rand(self, shape: torch.Size) -> Tensor:
        """Return the numbers [rows, columns] of these rows."""
        self._skip(self._rows.start * shape[1])
        found = torch.rand(shape, generator=self._generator)
        self._skip((self._count - self._rows.stop) * shape[1])
        return found

    def _skip(self, numbers: int) -> None:
        for start in range(0, numbers, _BLOCK):
            torch.rand(min(_BLOCK, numbers - start), generator=self._generator)


@dataclass(frozen=True)
class Part:
    """Which part of the loss of B queries and P labels is computed, each a run of consecutive ones.

    Args:
        queries: Rows of the terms that compare a query with all labels.
        labels: Rows of the terms that compare a label with all queries.
        num_queries: B.
        num_labels: P.
        total: Sums a tensor over all parts, in place: counts of active terms; None where there is one part.
    """

    queries: slice
    labels: slice
    num_queries: int
    num_labels: int
    total: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def whole(cls, num_queries: int, num_labels: int) -> Part:
        """Return all of it."""
        return cls(slice(0, num_queries), slice(0, num_labels), num_queries, num_labels)

    @property
    def is_whole(self) -> bool:
        """Whether there is no other part."""
        return self.total is None

    @property
    def of_queries(self) -> float:
        """What a mean over this part's queries weighs in the mean over all."""
        return (self.queries.stop - self.queries.start) / self.num_queries

    @property
    def of_labels(self) -> float:
        """The same for labels."""
        return (self.labels.stop - self.labels.start) / self.num_labels

    def rows_of_queries(self, pairs: Any) -> Any:
        """Return this part's rows of a matrix [B, P] of queries and labels; None stays None."""
        return None if pairs is None else pairs[self.queries]

    def rows_of_labels(self, pairs: Any) -> Any:
        """Return this part's rows of the transposed matrix [P, B]; None stays None."""
        return None if pairs is None else pairs.T[self.labels]

    def draws_of_queries(self, generator: torch.Generator | None) -> torch.Generator | RowDraws | None:
        """Return what draws the random numbers of the rows of this part's queries."""
        return self._draws(generator, self.queries, self.num_queries)

    def draws_of_labels(self, generator: torch.Generator | None) -> torch.Generator | RowDraws | None:
        """Return what draws the random numbers of the rows of this part's labels."""
        return self._draws(generator, self.labels, self.num_labels)

    def _draws(self, generator: torch.Generator | None, rows: slice, count: int) -> torch.Generator | RowDraws | None:
        return generator if generator is None or self.is_whole else RowDraws(generator, rows, count)


def divided(
    name: str,
    loss: Callable[..., tuple[Tensor, dict[str, Tensor]]],
    part: Part,
    query: Tensor,
    text: Tensor,
    prototype: Tensor,
    target: Tensor,
    *arguments: object,
    generator: torch.Generator | None,
    spared: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a part of an objective; all parts add up to `loss` of the same arguments, its terms likewise.

    Args:
        name: The objective. PRIME compares labels with queries, too, and counts active terms: it divides itself. The
            others are means over the rows of queries.
        loss: The objective.
        part: Which part.
        query: Unit query embeddings [B, d], as all other arguments those of the whole.
        text: Unit embeddings of the pooled labels' texts [P, d].
        prototype: Unit prototypes of the pooled labels [P, d].
        target: Boolean relevance [B, P].
        arguments: Further ones of the objective.
        generator: Draws one positive per row.
        spared: Boolean [B, P], or None.
    """
    if name == "prime" or part.is_whole:
        own = {"part": part} if name == "prime" else {}
        return loss(query, text, prototype, target, *arguments, generator=generator, spared=spared, **own)
    value, terms = loss(
        query[part.queries],
        text,
        prototype,
        part.rows_of_queries(target),
        *arguments,
        generator=part.draws_of_queries(generator),
        spared=part.rows_of_queries(spared),
    )
    return part.of_queries * value, {name: part.of_queries * term for name, term in terms.items()}
