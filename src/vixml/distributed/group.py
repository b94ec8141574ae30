"""The ranks of one piece of work and their communication; without a launch there is a single rank.

All ranks run the same code on the same inputs. Heavy work is divided among them (`share`) and put together again by
sums to which all ranks but one contribute zeros, so results do not depend on the number of ranks. Only the leader
writes files and makes decisions that depend on the clock, and it sends them to the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_BUCKET = 1 << 24  # numbers summed at once: 64 MB of float32


def is_divided() -> bool:
    """Return whether this process is one of several ranks."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Return the number of this rank, 0 for the leader and where there is one process."""
    import torch.distributed as dist

    return dist.get_rank() if is_divided() else 0


def num_ranks() -> int:
    """Return the number of ranks."""
    import torch.distributed as dist

    return dist.get_world_size() if is_divided() else 1


def leads() -> bool:
    """Return whether this rank writes files and decides."""
    return rank() == 0


def share(count: int) -> range:
    """Return which of `count` pieces of work are this rank's: every `num_ranks()`-th, which may be none."""
    return range(rank(), count, num_ranks())


def consecutive_share(count: int) -> slice:
    """Return which of `count` rows are this rank's, as one run of about `count / num_ranks()` rows."""
    return slice(count * rank() // num_ranks(), count * (rank() + 1) // num_ranks())


def add_up(tensor: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over the ranks, in place; every rank gets the same numbers."""
    import torch.distributed as dist

    if is_divided():
        flat = tensor.view(-1)
        for start in range(0, len(flat), _BUCKET):
            dist.all_reduce(flat[start : start + _BUCKET])
    return tensor


def put_together(array: NDArray[Any]) -> NDArray[Any]:
    """Fill an array in whose rows every rank has computed its share, and zeros elsewhere, in place."""
    if is_divided():
        import torch

        add_up(torch.from_numpy(array))
    return array


def in_order(part: NDArray[Any]) -> NDArray[Any]:
    """Return the parts of all ranks behind each other; they may differ in length, not in their other dimensions."""
    if not is_divided():
        return part
    lengths = np.zeros(num_ranks(), dtype=np.int64)
    lengths[rank()] = len(part)
    ends = np.cumsum(put_together(lengths))
    whole = np.zeros((int(ends[-1]), *part.shape[1:]), dtype=part.dtype)
    whole[ends[rank()] - len(part) : ends[rank()]] = part
    return put_together(whole)


def largest(*values: float) -> tuple[float, ...]:
    """Return the largest of each value over the ranks."""
    if not is_divided():
        return values
    import torch
    import torch.distributed as dist

    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tuple(tensor.tolist())


def decided(decide: Callable[[], Any]) -> Any:
    """Return what the leader decides, a JSON value; the others wait for it without deciding themselves."""
    if not is_divided():
        return decide()
    text = json.dumps(decide()).encode() if leads() else b""
    return json.loads(from_leader([np.frombuffer(text, dtype=np.uint8)])[0].tobytes())


def from_leader(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the leader's arrays on every rank; of the others' arguments only number, type and dimensions count."""
    if not is_divided():
        return list(arrays)
    import torch
    import torch.distributed as dist

    received = []
    for array in arrays:
        shape = torch.tensor(array.shape)
        dist.broadcast(shape, src=0)
        whole = np.array(array) if leads() else np.empty(shape.tolist(), dtype=array.dtype)
        if whole.size:
            dist.broadcast(torch.from_numpy(whole), src=0)
        received.append(whole)
    return received


def take_from_leader(tensors: Iterable[torch.Tensor]) -> None:
    """Overwrite tensors with the leader's, in place: what all ranks compute alike may differ in a last bit on GPUs."""
    import torch.distributed as dist

    if is_divided():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def add_up_gradients(weights: Iterable[torch.nn.Parameter]) -> None:
    """Sum the gradients of weights over the ranks, in place.

    A weight that a rank did not use counts as zero there; one that no rank used keeps no gradient, as in one process.
    """
    if not is_divided():
        return
    import torch

    trained = [weight for weight in weights if weight.requires_grad]
    used = largest(*(float(weight.grad is not None) for weight in trained)) if trained else ()
    trained = [weight for weight, one in zip(trained, used, strict=True) if one]
    for bucket in _buckets(trained):
        flat = torch.cat([(torch.zeros_like(w) if w.grad is None else w.grad).reshape(-1) for w in bucket])
        add_up(flat)
        for weight, summed in zip(bucket, flat.split([w.numel() for w in bucket]), strict=True):
            weight.grad = (
                summed.view_as(weight).clone() if weight.grad is None else weight.grad.copy_(summed.view_as(weight))
            )


def _buckets(weights: list[torch.nn.Parameter]) -> Iterable[list[torch.nn.Parameter]]:
    """Yield weights of one type and device, as many as are summed at once."""
    bucket: list[torch.nn.Parameter] = []
    for weight in weights:
        alike = bucket and (bucket[0].dtype, bucket[0].device) == (weight.dtype, weight.device)
        if bucket and (not alike or sum(w.numel() for w in bucket) + weight.numel() > _BUCKET):
            yield bucket
            bucket = []
        bucket.append(weight)
    if bucket:
        yield bucket
