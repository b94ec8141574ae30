"""The one thread that talks to the tracker, so that a slow or dead one costs a training nothing."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from vixml.core.redact import redact

_log = logging.getLogger(__name__)
SYNC = "kedro run --pipelines=sync_tracking"
"""What delivers later what could not be delivered now."""


class BackgroundSender:
    """Does jobs in a background thread, in order; a job that fails is dropped, and files still hold what it held.

    A failure that took long is not repeated for a while: jobs of that time are dropped at once. Watched jobs are looked
    at regularly, and lose nothing by that: they try again.

    Args:
        capacity: Most waiting jobs; more are dropped.
        interval: Seconds between two looks at the watched jobs.
        long: A failure that took this many seconds begins a pause.
        pause: Seconds of the first pause; it doubles up to ten minutes while failures go on.
    """

    def __init__(self, *, capacity: int = 1000, interval: float = 3.0, long: float = 1.0, pause: float = 30.0) -> None:
        self._jobs: queue.Queue[tuple[Callable[[], None], Callable[[], None]] | None] = queue.Queue(capacity)
        self._interval, self._long, self._first_pause = interval, long, pause
        self._pause, self._resume = pause, 0.0
        self._watched: list[Callable[[], None]] = []
        self._warned = self._given_up = False
        self._thread = threading.Thread(target=self._work, name="mlflow-sender", daemon=True)
        self._thread.start()

    def send(self, job: Callable[[], None], lost: Callable[[], None] = lambda: None) -> None:
        """Hand over a job and return at once; `lost` is called if it cannot be done."""
        try:
            self._jobs.put_nowait((job, lost))
        except queue.Full:
            lost()
            self._warn("it is too slow")

    def watch(self, job: Callable[[], None]) -> None:
        """Do `job` again and again until `unwatch`."""
        self._watched.append(job)

    def unwatch(self, job: Callable[[], None]) -> None:
        """Stop doing `job`; it is done once more."""
        if job in self._watched:
            self._watched.remove(job)
            self.send(job)

    def close(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until all is done, and give up the rest; return whether all is done."""
        self._watched.clear()
        deadline = time.monotonic() + timeout
        with suppress(queue.Full):
            self._jobs.put(None, timeout=timeout)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        done = not self._thread.is_alive()  # asked once: the thread ends by itself as soon as it sees the next line
        if not done:
            self._given_up = True
            self._warn("it is too slow")
        return done

    def _work(self) -> None:
        while True:
            try:
                entry = self._jobs.get(timeout=self._interval)
            except queue.Empty:
                for job in list(self._watched):
                    self._attempt(job)
                continue
            if entry is None or self._given_up:
                return
            job, lost = entry
            if not self._attempt(job):
                lost()

    def _attempt(self, job: Callable[[], None]) -> bool:
        began = time.monotonic()
        if began < self._resume:
            return False
        try:
            job()
        except Exception as err:  # nothing that a tracker does may end a training
            self._warn(str(err) or type(err).__name__)
            if time.monotonic() - began >= self._long:
                self._resume = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, 600.0)
            return False
        self._pause = self._first_pause
        return True

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "MLflow does not accept this run's records (%s). The run continues, and its files hold everything. "
                "Once MLflow is back, deliver them by `%s` with the same --env and --params.",
                redact(reason)[:300],
                SYNC,
            )
