"""Private folders of nodes, with the state that lets a killed node continue; they are not part of the graph.

A function that builds something big takes its folder as its last, keyword-only argument and says which part of the
project's work folder is its own:

    @works_in("tokens_work")
    def tokenise(params, dataset, *, work: WorkDirectory) -> Built: ...

From outside it has no such argument. Whoever runs it first says which folder it gets (`use`), or passes `work` itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from vixml.core.directories import WorkDirectory
from vixml.core.errors import StateError
from vixml.core.storage import writing

T = TypeVar("T")

_folder: ContextVar[WorkDirectory | None] = ContextVar("work folder", default=None)


def works_in(
    part: str, *, afterwards: Callable[[WorkDirectory], None] | None = None, divided: bool = False
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a function its argument `work` when it runs.

    Args:
        part: Name of its folder in the work folder of its variant.
        afterwards: Called with the folder once everything that the function returned is published: removes what is of
            no use any more.
        divided: Whether each run of it keeps to a part that its outputs are named after, so that runs of other outputs
            do not meet.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> T:
            work = kwargs.pop("work", None) or _current(function)
            with writing(work.path):  # everything that it writes is there, and the error may name no file
                return function(*args, work=work, **kwargs)

        signature = inspect.signature(function)
        shown = [parameter for name, parameter in signature.parameters.items() if name != "work"]
        run.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        run.work_part, run.work_afterwards, run.work_divided = part, afterwards, divided  # type: ignore[attr-defined]
        return run

    return decorate


def work_of(function: Callable[..., Any], root: WorkDirectory, variant: str | None) -> WorkDirectory | None:
    """Return the private folder of a function, None for one that has none.

    Args:
        function: What runs.
        root: The project's work folder.
        variant: The variant that it runs for, None where it serves all of them.
    """
    part = getattr(function, "work_part", None)
    if part is None:
        return None
    return root.part(part) if variant is None else root.part(variant).part(part)


def use(work: WorkDirectory | None) -> None:
    """Say which folder the next function that works in one gets, in this thread."""
    if work is not None:
        work.path.mkdir(parents=True, exist_ok=True)
    _folder.set(work)


def clear(function: Callable[..., Any], work: WorkDirectory) -> None:
    """Remove what a function left in its folder once everything it returned is published."""
    if function.work_afterwards is not None:  # type: ignore[attr-defined]
        function.work_afterwards(work)  # type: ignore[attr-defined]


def _current(function: Callable[..., Any]) -> WorkDirectory:
    work = _folder.get()
    if work is None:
        raise StateError(
            f"`{function.__name__}` has no folder to work in",
            remedy="run it with `kedro run`, or hand it over: `work=WorkDirectory(folder)`.",
        )
    return work
