"""Named random streams: every consumer of randomness gets its own generator, derived from one seed and a name.

Adding a consumer then never shifts the numbers that another one draws.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


_LIBRARIES = threading.RLock()


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` under `seed`."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator of the stream `names`."""
    return np.random.default_rng(derive_seed(seed, *names))


def torch_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return the torch generator of the stream `names`, on the CPU: a GPU's would draw other numbers."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, *names))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let one thread of this process at a time into the block.

    For what libraries have once for all threads: generators of random numbers, settings that are changed for a moment,
    and modules that are imported at their first use (two threads that import one another's half of a circle get
    half a module).
    """
    with _LIBRARIES:
        yield


@contextmanager
def global_stream(seed: int, *names: str | int, device: torch.device | None = None) -> Iterator[None]:
    """Let torch's own generators, which layers draw from, be the stream `names` inside the block, for one thread.

    Outside of it they are as they were.

    Args:
        seed: Root of the random numbers.
        names: The stream.
        device: Device whose generator is meant besides the processor's.
    """
    import torch

    cards = [device] if device is not None and device.type == "cuda" else []
    with _LIBRARIES, torch.random.fork_rng(devices=cards):
        torch.manual_seed(derive_seed(seed, *names))
        yield
