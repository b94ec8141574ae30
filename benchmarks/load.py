"""Many clients at once against a served model: errors, latency, and the server's memory before and after.

    python benchmarks/load.py data/06_models/demo/encoder_vision [--mlflow FOLDER] [--clients 16] [--seconds 60]

Starts `vixml serve` on a free port (or `mlflow models serve` on an exported model), asks from as many threads as there
are clients, every fourth query with an image, and stops the server.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
from PIL import Image

TEXTS = ["red ceramic vase", "oak desk lamp", "running shoes blue", "garden chair", "wall clock", "wool coat"]


def picture() -> str:
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 60).convert("RGB").save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def free_port() -> int:
    # Below the clients' own range: one that knocks too early at a port of that range may be connected with itself.
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    sys.exit("no port is free")


def body(number: int, image: str, mlflow: bool) -> bytes:
    images = [image] if number % 4 == 0 else []
    text = f"{TEXTS[number % len(TEXTS)]} {number}"
    if mlflow:
        return json.dumps({"dataframe_records": [{"text": text, "images": images}]}).encode()
    return json.dumps({"text": text, "images": images, "neighbours": 5}).encode()


def memory(pid: int) -> float:
    """Return the resident memory of a process and its children in MiB."""
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 2**20


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.3)
    sys.exit("the server did not come up")


def ask_until(stop: float, url: str, bodies: list[bytes], times: list[float], errors: list[str]) -> None:
    number = threading.get_ident() % len(bodies)
    while time.monotonic() < stop:
        number += 1
        request = urllib.request.Request(url, bodies[number % len(bodies)], {"content-type": "application/json"})  # noqa: S310
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                json.load(response)
            times.append(time.monotonic() - began)
        except (OSError, ValueError) as err:
            errors.append(repr(err))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--mlflow", action="store_true", help="the model is a folder that `vixml export-mlflow` wrote")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    port = free_port()
    where = [
        "-m",
        "mlflow",
        "models",
        "serve",
        "--env-manager",
        "local",
        "-h",
        "127.0.0.1",
        "-m",
        str(args.model),
        "-p",
    ]
    own = ["-m", "vixml", "serve", "--model", str(args.model), "--port"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    server = subprocess.Popen(
        [sys.executable, *(where if args.mlflow else own), str(port)],
        env={**os.environ, "PATH": path},
        start_new_session=True,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for(base + ("/ping" if args.mlflow else "/health"), server)
        url = base + ("/invocations" if args.mlflow else "/api/predict")
        image = picture()
        bodies = [body(number, image, args.mlflow) for number in range(1000)]
        times: list[float] = []
        errors: list[str] = []
        ask_until(time.monotonic() + 3, url, bodies, [], errors)  # the vision model is loaded by the first image
        before = memory(server.pid)
        stop = time.monotonic() + args.seconds
        clients = [
            threading.Thread(target=ask_until, args=(stop, url, bodies, times, errors)) for _ in range(args.clients)
        ]
        for client in clients:
            client.start()
        half = None
        while any(client.is_alive() for client in clients):
            time.sleep(0.5)
            if half is None and time.monotonic() > stop - args.seconds / 2:
                half = memory(server.pid)
        after = memory(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
    cuts = statistics.quantiles(times, n=20)
    print(
        json.dumps(
            {
                "requests": len(times),
                "errors": len(errors),
                "first_errors": errors[:3],
                "per_second": round(len(times) / args.seconds, 1),
                "p50_ms": round(1000 * statistics.median(times), 1),
                "p95_ms": round(1000 * cuts[18], 1),
                "rss_MiB": {"before": round(before), "half": round(half or 0), "after": round(after)},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
