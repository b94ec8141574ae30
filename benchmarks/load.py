"""Many clients at once against a served model: errors, lost requests, latency, and the server's memory.

    python benchmarks/load.py data/06_models/demo/encoder_vision [--swap 10] [--mlflow] [--clients 16] [--seconds 60]

Starts `vixml serve` on a free port (or `mlflow models serve` on an exported model), asks from as many threads as there
are clients, every fourth query with an image, and stops the server. With `--swap` a copy of the model is served, and
replaced every so many seconds: by a newer one, and every third time by a broken one, which must change nothing.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

TEXTS = ["red ceramic vase", "oak desk lamp", "running shoes blue", "garden chair", "wall clock", "wool coat"]
BROKEN_EVERY = 3


@dataclass
class Outcome:
    """What the clients saw; threads append to it."""

    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)  # answered, but not with what was asked for
    lost: list[str] = field(default_factory=list)  # not answered
    models: Counter[str] = field(default_factory=Counter)  # fingerprint -> answers


def picture() -> str:
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 60).convert("RGB").save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


def free_port() -> int:
    # Below the clients' own range: one that knocks too early at a port of that range may be connected with itself.
    for port in range(20_000 + os.getpid() % 12_000, 32_000):
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


def ask_until(stop: float, url: str, bodies: list[bytes], outcome: Outcome) -> None:
    number = threading.get_ident() % len(bodies)
    while time.monotonic() < stop:
        number += 1
        request = urllib.request.Request(url, bodies[number % len(bodies)], {"content-type": "application/json"})  # noqa: S310
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                answer = json.load(response)
            outcome.times.append(time.monotonic() - began)
            if "fingerprint" in answer:
                outcome.models[answer["fingerprint"]] += 1
                if not answer["labels"]:
                    outcome.errors.append("no label")
        except urllib.error.HTTPError as err:
            outcome.errors.append(f"{err.code}: {err.read()[:200]!r}")
        except (OSError, ValueError, http.client.HTTPException) as err:
            outcome.lost.append(repr(err))


def clone(folder: Path, target: Path) -> Path:
    """Return a copy of a published predictor, of links where the file system allows it."""

    def link(source: str, copy: str) -> None:
        try:
            os.link(source, copy)
        except OSError:
            shutil.copy2(source, copy)

    shutil.copytree(folder / "predictor" if (folder / "predictor").is_dir() else folder, target, copy_function=link)
    return target


def publish_newer(original: Path, served: Path, number: int) -> str:
    """Put a newer model in place of the served one, as a training does; return its fingerprint."""
    from vixml.core.directories import Built, open_sealed, publish

    newer = clone(original, served.parent / f"newer-{number}")
    return publish(Built(newer, "predictor", {**open_sealed(original).meta, "number": number}), served).fingerprint


def replace_until(stop: float, original: Path, served: Path, seconds: float, done: list[str]) -> None:
    """Publish a newer model in place of the served one again and again; the last one is whole."""
    from vixml.core.directories import MANIFEST

    end = time.monotonic() + seconds
    while time.monotonic() < stop - seconds:
        time.sleep(max(0.0, end - time.monotonic()))
        end += seconds
        number = len(done) + 1
        publish_newer(original, served, number)
        if number % BROKEN_EVERY == 0:
            torn = clone(served, served.parent / f"torn-{number}")
            (torn / "label_prototypes.npy").unlink()
            document = json.loads((torn / MANIFEST).read_text())
            (torn / MANIFEST).unlink()
            (torn / MANIFEST).write_text(json.dumps({**document, "seal": "0"}))
            aside = served.parent / f"aside-{number}"
            served.rename(aside)
            torn.rename(served)
            time.sleep(seconds / 2)
            shutil.rmtree(served)
            aside.rename(served)
        done.append("broken, then newer" if number % BROKEN_EVERY == 0 else "newer")


def run_load(url: str, bodies: list[bytes], *, clients: int, seconds: float, outcome: Outcome) -> None:
    """Ask from many threads for a while; return when all are answered."""
    stop = time.monotonic() + seconds
    threads = [threading.Thread(target=ask_until, args=(stop, url, bodies, outcome)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def start(model: Path, port: int, *, mlflow: bool = False) -> subprocess.Popen[bytes]:
    """Start a server on a model, in a process group of its own."""
    theirs = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "-h", "127.0.0.1", "-m"]
    own = ["-m", "vixml", "serve", "--model"]
    words = [sys.executable, *(theirs if mlflow else own), str(model), "-p" if mlflow else "--port", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(words, env={**os.environ, "PATH": path}, start_new_session=True)


def metric(base: str, name: str) -> dict[str, float]:
    """Return the samples of one metric of `vixml serve` by their labels as written."""
    with urllib.request.urlopen(f"{base}/metrics", timeout=30) as response:  # noqa: S310
        lines = response.read().decode().splitlines()
    samples = (line.removeprefix(name).rpartition(" ") for line in lines if line.startswith(name))
    return {labels: float(value) for labels, _, value in samples}


def measure(args: argparse.Namespace, model: Path, folder: Path) -> dict[str, Any]:
    """Start the server, load it, and return the figures."""
    port = free_port()
    server = start(model, port, mlflow=args.mlflow)
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for(base + ("/ping" if args.mlflow else "/health"), server)
        url = base + ("/invocations" if args.mlflow else "/api/predict")
        image = picture()
        bodies = [body(number, image, args.mlflow) for number in range(1000)]
        ask_until(time.monotonic() + 3, url, bodies, Outcome())  # the vision model is loaded by the first image
        outcome, done, resident = Outcome(), [], {"before": memory(server.pid)}
        stop = time.monotonic() + args.seconds
        replacing = threading.Thread(target=replace_until, args=(stop, folder, model, args.swap, done))
        if args.swap:
            replacing.start()
        watch = threading.Timer(args.seconds / 2, lambda: resident.update(half=memory(server.pid)))
        watch.start()
        run_load(url, bodies, clients=args.clients, seconds=args.seconds, outcome=outcome)
        resident["after"] = memory(server.pid)
        if args.swap:
            replacing.join()
        swaps = metric(base, "vixml_model_swaps_total") if args.swap else {}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)
    cuts = statistics.quantiles(outcome.times, n=100)
    return {
        "requests": len(outcome.times) + len(outcome.errors) + len(outcome.lost),
        "errors": len(outcome.errors),
        "lost": len(outcome.lost),
        "first": [*outcome.errors[:3], *outcome.lost[:3]],
        "per_second": round(len(outcome.times) / args.seconds, 1),
        **{f"p{share}_ms": round(1000 * cuts[share - 1], 1) for share in (50, 95, 99)},
        "rss_MiB": {name: round(value) for name, value in resident.items()},
        **({"replaced": done, "swaps": swaps, "models_that_answered": len(outcome.models)} if args.swap else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--mlflow", action="store_true", help="the model is a folder that `vixml export-mlflow` wrote")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--swap", type=float, default=0, metavar="SECONDS", help="replace the model this often")
    args = parser.parse_args()
    if args.mlflow and args.swap:
        parser.error("an MLflow server does not follow its model")
    with tempfile.TemporaryDirectory() as folder:
        model = clone(args.model, Path(folder) / "served") if args.swap else args.model
        original = clone(args.model, Path(folder) / "original") if args.swap else args.model
        print(json.dumps(measure(args, model, original), indent=1))


if __name__ == "__main__":
    main()
