"""Progress: a bar on a terminal, an occasional line elsewhere, and listeners for everything else.

A library function says how far it is with `progress`; it knows neither who watches nor where that is shown.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

_log = logging.getLogger(__name__)

NOTIFY_SECONDS = 1.0
"""Least time between two notes to the listeners."""

LOG_SECONDS = 60.0
"""Time between two lines where there is no terminal: a log file of hours stays readable."""


@dataclass(frozen=True)
class Position:
    """How far a piece of work is.

    Args:
        desc: What is done.
        done: Units that are done.
        total: All units; None where that is not known.
        unit: Name of a unit.
        rate: Units a second since the work began in this process; 0.0 at its start.
        facts: Further figures (epoch, loss).
        subject: The variant that the work is for; empty outside a variant.
    """

    desc: str
    done: int
    total: int | None
    unit: str
    rate: float
    facts: dict[str, Any] = field(default_factory=dict)
    subject: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the present rate; None where that cannot be said."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


subject: ContextVar[str] = ContextVar("subject", default="")
"""The variant whose stage runs at present: bars and lines name it, because all variants have the same stages."""

listeners: list[Callable[[Position], None]] = []
"""Called about once a second with the position of the innermost work; an error in one is ignored."""


class Progress:
    """Progress of one piece of work; use `progress`.

    Args:
        iterable: What to iterate over; None to call `update` by hand.
        desc: What is done.
        total: All units; None takes the length of `iterable`, if it has one.
        unit: Name of a unit.
    """

    def __init__(self, iterable: Iterable[Any] | None, *, desc: str, total: int | None, unit: str) -> None:
        from tqdm import tqdm

        self._iterable, self._desc, self._unit = iterable, desc, unit
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)  # type: ignore[arg-type]
        self._total, self._done, self._skipped = total, 0, 0
        self._facts: dict[str, Any] = {}
        self._watched = sys.stderr.isatty()
        self._subject, named = subject.get(), with_subject(desc)
        self._bar = tqdm(desc=named, total=total, unit=unit, dynamic_ncols=True, disable=not self._watched, leave=False)
        self._part: Any = None
        self._started = self._noted = self._logged = time.monotonic()

    def __enter__(self) -> Progress:
        self._notify(force=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        with self:
            for item in self._iterable or ():
                yield item
                self.update(1)

    @property
    def position(self) -> Position:
        """How far the work is."""
        elapsed = time.monotonic() - self._started
        rate = (self._done - self._skipped) / elapsed if elapsed > 0 else 0.0
        return Position(self._desc, self._done, self._total, self._unit, rate, dict(self._facts), self._subject)

    def skip(self, count: int) -> None:
        """Count units that an earlier process has done: they do not count for the rate."""
        self._skipped += count
        self._bar.initial = self._skipped
        self.update(count)

    @contextmanager
    def part(self, desc: str, *, total: int, done: int = 0) -> Iterator[None]:
        """Show a second bar below the first while a part of the work is done; `update` moves both.

        Args:
            desc: The part, for instance `epoch 3/8`.
            total: Its units.
            done: Units of it that an earlier process has done.
        """
        from tqdm import tqdm

        shape: dict[str, Any] = {"total": total, "initial": done, "unit": self._unit, "leave": False}
        with tqdm(desc=f"  {desc}", dynamic_ncols=True, disable=not self._watched, **shape) as bar:
            self._part = bar
            try:
                yield
            finally:
                self._part = None

    def update(self, count: int) -> None:
        """Count units that were just done."""
        self._done += count
        self._bar.update(count)
        if self._part is not None:
            self._part.update(count)
        self._notify()

    def set_postfix(self, **facts: Any) -> None:
        """Show further figures beside the bar."""
        self._facts = facts
        self._bar.set_postfix(facts)
        self._notify()

    def close(self) -> None:
        """Take the bar down."""
        self._bar.close()
        self._notify(force=True)

    def _notify(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not self._watched and now - self._logged >= LOG_SECONDS:
            self._logged = now
            _log.info("%s", line(self.position))
        if listeners and (force or now - self._noted >= NOTIFY_SECONDS):
            self._noted = now
            position = self.position
            for listener in tuple(listeners):
                with suppress(Exception):  # a listener must not stop the work
                    listener(position)


def progress(
    iterable: Iterable[Any] | None = None, *, desc: str, total: int | None = None, unit: str = "it"
) -> Progress:
    """Return the progress of a piece of work, as a context manager or to iterate over.

    On a terminal it is a bar on stderr with rate and time left; elsewhere (CI, files) a line of the log a minute.

    Args:
        iterable: What to iterate over; None to call `update` by hand.
        desc: What is done.
        total: All units; None takes the length of `iterable`, if it has one.
        unit: Name of a unit.
    """
    return Progress(iterable, desc=desc, total=total, unit=unit)


def with_subject(desc: str) -> str:
    """Return what is done with the variant that it is done for: `encoder_text train_hard`."""
    return f"{subject.get()} {desc}".lstrip()


def line(position: Position) -> str:
    """Return a position as one line: `encoder_text train_hard: 120/400 step (30 %), 2.1 step/s, 2 min 13 s left`."""
    text = f"{position.subject} {position.desc}: {position.done:,}".lstrip()
    if position.total:
        text += f"/{position.total:,}"
    text += f" {position.unit}"
    if position.total:
        text += f" ({100 * position.done // position.total} %)"
    if position.rate:
        text += f", {position.rate:,.3g} {position.unit}/s"
    if position.seconds_left is not None:
        text += f", {duration(position.seconds_left)} left"
    return text + "".join(f", {name}={value}" for name, value in position.facts.items())


def duration(seconds: float) -> str:
    """Return a duration in words: `41 s`, `2 min 13 s`, `3 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
