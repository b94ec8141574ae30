"""Named random streams: every consumer of randomness gets its own generator, derived from one seed and a name.

Adding a consumer then never shifts the numbers that another one draws.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


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
