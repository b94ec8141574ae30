"""Ranks that are threads of one process: they cost nothing to start, and share work as real ones do.

What ranks tell each other goes through a list here instead of torch's collectives, which `test_group.py` tests. Nothing
may hold a lock while it waits for another rank.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from vixml.distributed import group

T = TypeVar("T")


def in_threads(patch: pytest.MonkeyPatch, count: int, body: Callable[[], T]) -> list[T]:
    """Run `body` as each of `count` ranks; return what each returned."""
    barrier, held, here = threading.Barrier(count), [None] * count, threading.local()

    def exchanged(value: Any) -> list[Any]:
        held[here.rank] = value
        barrier.wait(120)
        values = list(held)
        barrier.wait(120)
        return values

    def add_up(tensor: Any) -> Any:
        tensor.copy_(sum(exchanged(tensor.clone())))
        return tensor

    def largest(*values: float) -> tuple[float, ...]:
        return tuple(max(column) for column in zip(*exchanged(values), strict=True))

    def run(rank: int) -> T:
        here.rank = rank
        try:
            return body()
        except BaseException:
            barrier.abort()  # the others would wait
            raise

    with patch.context() as context:
        context.setattr(group, "is_divided", lambda: hasattr(here, "rank"))
        context.setattr(group, "rank", lambda: getattr(here, "rank", 0))
        context.setattr(group, "num_ranks", lambda: count if hasattr(here, "rank") else 1)
        context.setattr(group, "add_up", add_up)
        context.setattr(group, "largest", largest)
        context.setattr(group, "from_leader", lambda arrays: exchanged(list(arrays))[0])
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(run, range(count)))
