"""Servers that tests start: a port for them, and whether they answer."""

from __future__ import annotations

import http.client
import random
import socket
import urllib.request
from contextlib import suppress


def free_port() -> int:
    """Return a port that nobody listens on.

    It lies below those that the system gives to clients (32768 on Linux): a client that knocks at a port of its own
    range while nobody listens can be given that very port, is then connected with itself and reads its own request.
    Kedro-Viz wants one below 49152 besides.
    """
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def answers(address: str) -> bool:
    """Return whether a server answers here with 200; whatever goes wrong on the way is a no."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False
