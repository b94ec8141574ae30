"""Ending between two steps: a signal asks, the loop says when."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

EXIT_STOPPED = 75
"""Exit code of a run that was asked to stop and saved its state (EX_TEMPFAIL: try again later)."""


class Stopped(SystemExit):
    """A long task ended because a signal asked it to; the process exits with `EXIT_STOPPED`.

    A SystemExit, so that no `except Exception` on the way takes it for a failure.
    """

    def __init__(self) -> None:
        super().__init__(EXIT_STOPPED)


class StopRequest:
    """Inside the `with` block the first SIGTERM or SIGINT (Ctrl-C) only sets `received`.

    That first signal also puts the earlier handlers back, so a second one interrupts at once. Signals that are ignored
    stay ignored. Outside the main thread, where Python takes no handlers, nothing changes.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                earlier = signal.getsignal(number)
                if earlier not in (None, signal.SIG_IGN):
                    self._earlier[number] = earlier
                    signal.signal(number, self._take)
        return self

    def __exit__(self, *exception: object) -> None:
        self._put_back()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._put_back()
        # Not through logging or print: the signal may have interrupted one of them.
        os.write(2, f"\n{self.received}: stopping after this step; a second one stops at once.\n".encode())

    def _put_back(self) -> None:
        while self._earlier:
            signal.signal(*self._earlier.popitem())
