"""`vixml serve` as a process: a model is replaced under load, and SIGTERM ends it in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from benchmarks.load import Outcome, body, clone, metric, picture, publish_newer, run_load
from tests.servers import answers, free_port

SECONDS = 600  # a busy machine is no fault of the server


@contextmanager
def running(folder, log, *options, script=None):
    """A server on a free port, and its address; it is killed in the end where it still runs."""
    port = free_port()
    words = ["-m", "vixml", "serve", "--model", str(folder), "--device", "cpu", "--port", str(port), *options]
    if script is not None:
        words = ["-c", script, str(folder), str(port)]
    with log.open("w") as file:
        server = subprocess.Popen([sys.executable, *words], stderr=file)
    try:
        deadline = time.monotonic() + SECONDS
        while not answers(f"http://127.0.0.1:{port}/ready"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def ask(address, content):
    request = urllib.request.Request(f"{address}/api/predict", content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return answer.status, json.load(answer)


def in_server(address):
    """Questions that the server has, at work or waiting."""
    return sum(metric(address, f"vixml_questions_{one}")[""] for one in ("at_work", "waiting"))


def test_no_request_is_lost_while_a_model_is_replaced_and_none_at_the_end(models, tmp_path):
    """Four clients for some seconds; then SIGTERM while questions are in flight."""
    served = clone(models / "encoder_vision", tmp_path / "served")
    original = clone(served, tmp_path / "original")
    bodies = [body(number, picture(), False) for number in range(100)]
    outcome = Outcome()
    log = tmp_path / "log"
    with running(served, log, "--logs", "json", "--queue-mib", "100") as (server, address):
        asking = threading.Event()

        def load():
            while not asking.is_set():
                run_load(f"{address}/api/predict", bodies, clients=4, seconds=2, outcome=outcome)

        loading = threading.Thread(target=load)
        loading.start()
        for number in (1, 2):
            newer = publish_newer(original, served, number)
            deadline = time.monotonic() + SECONDS
            while not outcome.models[newer]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        asking.set()
        loading.join()
        assert outcome.errors == outcome.lost == []
        assert len(outcome.models) == 3
        swaps = metric(address, "vixml_model_swaps_total")
        assert swaps['{model="encoder_vision",outcome="swapped"}'] == 2

        with ThreadPoolExecutor(12) as pool:
            waiting = [pool.submit(ask, address, bodies[0]) for _ in range(12)]
            while in_server(address) + sum(one.done() for one in waiting) < len(waiting):
                time.sleep(0.002)
            server.send_signal(signal.SIGTERM)
            assert [one.result()[0] for one in waiting] == [200] * 12
        assert server.wait(SECONDS) == -signal.SIGTERM
        assert not answers(f"{address}/health")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert (
        sum(line.get("route") == "/api/predict" and line["status"] == 200 for line in lines) == len(outcome.times) + 12
    )
    assert sum("newer model answers" in line["message"] for line in lines) == 2


NEVER = """
import signal, sys, time
from pathlib import Path
from vixml.serving.web import app
from vixml.serving.web.server import serve
app.answer = lambda *args: time.sleep(3600)
{ignore}
serve([Path(sys.argv[1])], port=int(sys.argv[2]), device="cpu", grace=1)
"""


def refused(address):
    with pytest.raises(OSError):
        ask(address, b'{"text": "a"}')


@pytest.mark.parametrize("first", [False, True], ids=["process", "first process of a container"])
def test_the_end_is_bounded(models, first, tmp_path):
    """A question that never ends does not keep the server; a container's first process gets no signal's default."""
    script = NEVER.format(ignore="signal.signal(signal.SIGTERM, lambda *args: None)" if first else "")
    with running(models / "encoder_text", tmp_path / "log", script=script) as (server, address):
        stuck = threading.Thread(target=refused, args=(address,))
        stuck.start()
        while not metric(address, "vixml_questions_at_work")[""]:
            time.sleep(0.02)
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(SECONDS) == (1 if first else -signal.SIGTERM)
        stuck.join(SECONDS)
