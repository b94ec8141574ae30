"""A web server of pictures on this machine that answers well, badly, slowly or not at all."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from PIL import Image

from vixml.params.data.download import DownloadParams


def picture(width: int = 40, height: int = 20, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, format=kind)
    return buffer.getvalue()


@dataclass
class Web:
    """A server on 127.0.0.1.

    Args:
        port: Its port.
        seen: Requests by path.
        gate: While it is not set, `/slow` answers nothing and `/gated` waits.
    """

    port: int
    seen: Counter[str] = field(default_factory=Counter)
    gate: threading.Event = field(default_factory=threading.Event)
    hosts: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, body: bytes, kind: str = "image/png", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in {"Content_Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        web: Web = self.server.web
        path = self.path.split("?")[0]
        web.seen[path] += 1
        web.hosts.append(self.headers["Host"])
        first, _, rest = path.strip("/").partition("/")
        if first == "ok":
            self.answer(picture())
        elif first == "gated":
            web.gate.wait(600)
            self.answer(picture())
        elif first == "jpeg":
            self.answer(picture(30, 90, "JPEG"), "application/octet-stream")
        elif first == "status":
            self.answer(b"sorry", "text/plain", int(rest))
        elif first == "busy":  # twice, then well
            if web.seen[path] <= 2:
                self.answer(b"", status=503, Retry_After="7")
            else:
                self.answer(picture())
        elif first == "later":  # a header of Retry-After as the test has it
            self.answer(b"", status=503, Retry_After=unquote(self.path.partition("?")[2], "latin-1"))
        elif first == "slow":
            web.gate.wait(30)
        elif first == "trickle":
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            while not web.gate.wait(0.05):
                self.wfile.write(b"x")
        elif first == "drip":  # a head that never ends
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not web.gate.wait(0.05):
                self.wfile.write(b"x")
        elif first == "to":
            self.answer(b"", status=302, Location=self.path.partition("?")[2])
        elif first == "page":
            self.answer(b"<html>not here</html>", "text/html")
        elif first == "lie":
            self.answer(b"<html>not here</html>", "image/png")
        elif first == "cut":
            self.answer(picture()[:50], Content_Length="5000")
        elif first == "half":
            self.answer(picture(300, 300)[:90])
        elif first == "huge":
            self.answer(b"", Content_Length=str(10**9))
        elif first == "endless":
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        elif first == "bomb":
            self.answer(picture(3000, 3000))
        elif first == "packed":
            self.answer(b"xx", Content_Encoding="gzip")
        elif first == "empty":
            self.answer(b"")


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up are part of the tests


@contextmanager
def pictures_on_the_web() -> Iterator[Web]:
    server = QuietServer(("127.0.0.1", 0), Handler)
    server.web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.web
    server.web.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


FAST = {
    "allow_private": True,
    "per_host_per_second": 0,
    "backoff_seconds": 0,
    "retries": 1,
    "timeout_seconds": 600,
    "total_seconds": 600,
    "max_bytes": 300_000,
    "max_pixels": 1_000_000,
    "concurrency": 4,
}


def params(**changes) -> DownloadParams:
    return DownloadParams.model_validate({**FAST, **changes})
