"""Clients that are slow, many or both do not keep others from being answered. All of it on the loopback address."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest
import uvicorn

from vixml import Predictor
from vixml.serving.web import app as web
from vixml.serving.web import limits
from vixml.serving.web.limits import timed_protocol


@contextmanager
def server(app, **protocol):
    """Serve on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=500)
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", http=timed_protocol(**protocol), ws="none"))
    thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
    thread.start()
    while not running.started:
        thread.join(0.02)
        assert thread.is_alive()
    yield listening.getsockname()[1]
    running.should_exit = running.force_exit = True
    thread.join(30)


def request(port, method="GET", path="/health", body=b"", headers=(), seconds=60):
    """Send one request; return status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as client:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
        if body:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while part := client.recv(65536):
            answer += part
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


def is_closed(client, seconds=60):
    """Tell whether the server ends the connection, after what it has already sent."""
    client.settimeout(seconds)
    with suppress(ConnectionError):
        while client.recv(65536):
            pass
    return True


@pytest.fixture(scope="module")
def model(models):
    return Predictor.open(models / "encoder_text", device="cpu")


def test_health_and_page_are_answered_while_all_turns_are_taken(model, monkeypatch):
    gate = threading.Event()

    def answer(*args):
        gate.wait(300)
        return {"labels": []}

    monkeypatch.setattr(web, "answer", answer)
    body = json.dumps({"text": "a"}).encode()
    with server(web.create_app({"m": model})) as port, ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(request, port, "POST", "/api/predict", body, seconds=300) for _ in range(60)]
        refused = 60 - (limits._AT_WORK + limits._WAITING)
        while sum(one.done() for one in waiting) < refused:
            time.sleep(0.01)
        assert request(port)[0] == 200
        assert request(port, path="/")[0] == 200
        assert request(port, path="/api/models")[0] == 200
        gate.set()
        answers = [one.result() for one in waiting]
    assert sorted(status for status, _ in answers) == [200] * (60 - refused) + [503] * refused
    assert all(b"busy" in content for status, content in answers if status == 503)


def test_a_head_that_does_not_come_ends_the_connection(model):
    with server(web.create_app({"m": model}), head_seconds=0.3) as port, ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
        clients[1].sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        clients[2].sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        clients[2].settimeout(60)
        assert clients[2].recv(65536).startswith(b"HTTP/1.1 200")
        clients[2].sendall(b"GET /hea")  # a second request that never ends
        assert all(map(is_closed, clients))
        assert request(port)[0] == 200


def test_half_open_connections_lock_nobody_out(model):
    with server(web.create_app({"m": model}), head_seconds=600, most=20) as port, ExitStack() as stack:
        clients = []
        for number in range(60):
            clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            if number % 2:
                clients[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
        for _ in range(5):
            assert request(port, seconds=30)[0] == 200
        assert is_closed(clients[0])  # the one that waited longest


def test_a_body_that_does_not_come_is_given_up(model, monkeypatch):
    monkeypatch.setattr(
        limits.BodyLimits.__init__, "__kwdefaults__", {**limits.BodyLimits.__init__.__kwdefaults__, "seconds": 0.3}
    )
    with server(web.create_app({"m": model})) as port:
        assert request(port, "POST", "/api/predict", headers=["Content-Length: 100"])[0] == 408
        assert request(port, "POST", "/api/predict", body=b'{"text": "a", "k": 1}')[0] == 200


def test_the_limit_on_connections_leaves_files_for_the_rest():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert limits._most_connections() == 128
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
