"""Every way in which ranks tell each other something, once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from vixml.distributed import group
from vixml.distributed.rank import joined


def tell() -> dict[str, np.ndarray]:
    """Return what this rank ends with."""
    rank = group.rank()
    rows = np.zeros((10, 1), dtype=np.float16)
    rows[list(group.share(10)), 0] = list(group.share(10))
    used, unused, second = (torch.nn.Parameter(torch.ones(shape)) for shape in ((5,), (3,), (2, 2)))
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    if rank != 1:
        used.grad = torch.full((5,), 2.0)
    second.grad = torch.full((2, 2), float(rank + 1))
    group._BUCKET = 3
    group.add_up_gradients([used, unused, frozen, second])
    assert used.grad is not None
    drifted = torch.nn.Parameter(torch.full((2, 2), float(rank)))
    group.take_from_leader([drifted])
    return {
        "rank": np.array(rank),
        "share": np.array(group.share(10)),
        "consecutive": np.arange(10)[group.consecutive_share(10)],
        "sum": group.add_up(torch.full((2, 3), rank + 1.0)).numpy(),
        "put_together": group.put_together(rows),
        "in_order": group.in_order(np.full(rank + 1, 10 * rank)),
        "largest": np.array(group.largest(rank, 0)),
        "decided": np.array(group.decided(lambda: f"rank {rank}")),
        "from_leader": group.from_leader([np.arange(6).reshape(2, 3) if rank == 0 else np.zeros((1, 1), np.int64)])[0],
        "empty": group.from_leader([np.zeros((0, 4) if rank == 0 else (1, 1))])[0],
        "drifted": drifted.detach().numpy(),
        "used": used.grad.numpy(),
        "unused": np.array(unused.grad is None and frozen.grad is None),
        "second": second.grad.numpy(),
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with joined(place):
        np.savez(place / f"{group.rank()}.npz", **tell())
