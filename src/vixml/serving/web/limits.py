"""What a server gives to a client: so many seconds for a request's head and body, so many connections and questions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from vixml.core.errors import ConfigError

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

T = TypeVar("T")

HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
MAX_IMAGES = 4
MAX_IMAGE_BYTES = 8 * 1024 * 1024
MAX_BODY = MAX_IMAGES * MAX_IMAGE_BYTES * 4 // 3 + 100_000
"""Bytes of a question: its images in base64, and the rest of the request."""
DECODE_SECONDS = 10.0
"""Longest time for one image of a question."""
_AT_WORK = 4  # questions answered side by side
_WAITING = 32  # questions that wait for their turn
_MOST_BYTES = 512 << 20  # of all of them together
LATER = {"Retry-After": "1"}
"""Header of a refusal that does not last."""
_CONNECTIONS = 1000
_SHOWN = 5
_CUT = 100


class Admission:
    """Which questions are let in: so many at work and waiting, and so many bytes together.

    Args:
        at_work: Questions answered side by side.
        waiting: Questions that wait for their turn.
        most_bytes: Bytes of all of them; a question whose length is not known counts as the longest.

    Raises:
        ConfigError: No question could ever be answered.
    """

    def __init__(self, at_work: int | None = None, waiting: int | None = None, most_bytes: int | None = None) -> None:
        at_work, waiting = _AT_WORK if at_work is None else at_work, _WAITING if waiting is None else waiting
        self.most_bytes = _MOST_BYTES if most_bytes is None else most_bytes
        if at_work < 1 or waiting < 0 or self.most_bytes < MAX_BODY:
            raise ConfigError(
                "a server must let questions in",
                found=f"{at_work} at work, {waiting} waiting, {self.most_bytes} bytes",
                expected=f"at least 1, 0, and {MAX_BODY} bytes, the longest question",
            )
        self.most = at_work + waiting
        self.taken = self.bytes = self.at_work = 0
        self._pool = ThreadPoolExecutor(at_work, "questions")
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Questions let in that are not at work."""
        return max(0, self.taken - self.at_work)

    @property
    def full(self) -> bool:
        """Whether the next question is refused, however short it is."""
        return self.taken >= self.most

    @contextmanager
    def letting_in(self, size: int) -> Iterator[bool]:
        """Tell whether a question of `size` bytes is let in, and count it while the block runs."""
        let_in = not self.full and self.bytes + size <= self.most_bytes
        self.taken += let_in
        self.bytes += let_in * size
        try:
            yield let_in
        finally:
            self.taken -= let_in
            self.bytes -= let_in * size

    async def take_turn(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, in its turn, in a thread of the questions' own.

        Those of health, page and pictures so stay free.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._counted, work)

    def close(self) -> None:
        """Begin no question any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _counted(self, work: Callable[[], T]) -> T:
        with self._lock:
            self.at_work += 1
        try:
            return work()
        finally:
            with self._lock:
                self.at_work -= 1


class BodyLimits:
    """ASGI middleware: a request's body must arrive in time, and no more questions are taken than are let in.

    Args:
        app: The application.
        path: Path of the questions.
        admission: Which are let in; the others get status 503.
        seconds: From the end of the head to the end of the body; then status 408.
    """

    def __init__(self, app: Any, *, path: str, admission: Admission, seconds: float = BODY_SECONDS) -> None:
        self._app, self._path, self._admission, self._seconds = app, path, admission, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] != self._path:
            await self._app(scope, self._in_time(receive), send)
        else:
            with self._admission.letting_in(_size(scope)) as let_in:
                if let_in:
                    await self._app(scope, self._in_time(receive), send)
                    return
            from starlette.responses import JSONResponse

            busy = {"detail": "The server is busy. Try again in a moment."}
            await JSONResponse(busy, 503, {**LATER, "Connection": "close"})(scope, receive, send)

    def _in_time(self, receive: Any) -> Any:
        from starlette.exceptions import HTTPException

        end, complete = asyncio.get_running_loop().time() + self._seconds, False

        async def timed() -> Any:
            nonlocal complete
            if complete:  # then it waits for the client to go
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                complete = True
                detail = f"The request was not complete after {self._seconds:g} seconds."
                raise HTTPException(408, detail, {"Connection": "close"}) from None
            complete = not message.get("more_body", False)
            return message

        return timed


def timed_protocol(*, head_seconds: float = HEAD_SECONDS, most: int | None = None) -> type[H11Protocol]:
    """Return uvicorn's HTTP protocol with a time limit on the head of a request, and a limit on connections.

    Args:
        head_seconds: From the connection, or the first byte of a further request, to the end of the head.
        most: Connections; where one more comes, the one that has waited longest for its head is closed, and where none
            waits, the new one. None: as the number of files that the process may open allows.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    limit = _most_connections() if most is None else most
    waiting: dict[Any, None] = {}  # in the order in which they began to wait

    class TimedProtocol(H11Protocol):
        """A connection whose requests must begin in time."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()
            if len(self.connections) > limit:
                (next(iter(waiting)) if waiting else self)._end()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._stop()
            elif self._timer is None:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _wait(self) -> None:
            waiting[self] = None
            self._timer = self.loop.call_later(head_seconds, self._end)

        def _stop(self) -> None:
            waiting.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _end(self) -> None:
            self._stop()
            self.transport.abort()

    return TimedProtocol


def _size(scope: Any) -> int:
    """Return the bytes that a question may have: as it says, or the most that are read of one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return min(int(value[:20]), MAX_BODY)
    return MAX_BODY


def _most_connections() -> int:
    """Return how many connections leave files enough for the rest of the process."""
    try:
        import resource
    except ImportError:  # Windows
        return _CONNECTIONS
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(_CONNECTIONS, soft // 2))


def sentence(errors: Iterable[Mapping[str, Any]]) -> str:
    """Return what is wrong with a question, without its content: that may be what JSON cannot express."""
    reasons = []
    for error in errors:
        place = ".".join(str(part) for part in error.get("loc", ()) if part not in ("body", "path", "query"))
        what = str(error.get("msg", "not accepted"))
        if error.get("type") == "string_unicode":
            what = "the text holds a lone surrogate, a character that no text can hold"
        elif error.get("type") == "json_invalid":
            place, what = "", "it is not valid JSON"
        reasons.append(f"`{_clean(place)}`: {_clean(what)}" if place else _clean(what))
    more = len(reasons) - _SHOWN
    shown = "; ".join(reasons[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return f"The request is not as it should be: {shown}."


def _clean(text: str) -> str:
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _CUT else f"{text[:_CUT]} ..."
