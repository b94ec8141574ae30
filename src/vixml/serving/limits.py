"""What a server gives to a client: so many seconds for a request's head and body, so many connections and questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

T = TypeVar("T")

HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
DECODE_SECONDS = 10.0
"""Longest time for one image of a question."""
_AT_WORK = 4  # questions answered side by side
_WAITING = 32  # questions that wait for their turn; each may hold a body of 40 MB
_CONNECTIONS = 1000
_SHOWN = 5
_CUT = 100


class Turns:
    """Answers questions in a few threads of their own, so that those of health, page and pictures stay free.

    Args:
        at_work: Questions answered side by side.
    """

    def __init__(self, at_work: int = _AT_WORK) -> None:
        self._pool = ThreadPoolExecutor(at_work, "questions")

    async def take(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class BodyLimits:
    """ASGI middleware: a request's body must arrive in time, and no more questions are taken than can wait.

    Args:
        app: The application.
        path: Path of the questions.
        most: Questions at work and waiting; the next one gets status 503.
        seconds: From the end of the head to the end of the body; then status 408.
    """

    def __init__(self, app: Any, *, path: str, most: int = _AT_WORK + _WAITING, seconds: float = BODY_SECONDS) -> None:
        self._app, self._path, self._most, self._seconds = app, path, most, seconds
        self._taken = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asks = scope["path"] == self._path
        if asks and self._taken >= self._most:
            from starlette.responses import JSONResponse

            busy = {"detail": "The server is busy. Try again in a moment."}
            await JSONResponse(busy, 503, {"Retry-After": "1", "Connection": "close"})(scope, receive, send)
            return
        self._taken += asks
        try:
            await self._app(scope, self._in_time(receive), send)
        finally:
            self._taken -= asks

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
