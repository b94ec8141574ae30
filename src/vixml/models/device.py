"""The device of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vixml.core.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def resolve_device(name: str) -> torch.device:
    """Return the device `name`; `auto` is the first GPU where there is one.

    Raises:
        ConfigError: Unknown or absent.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as err:
        raise ConfigError("unknown device", found=name, expected="auto, cpu, cuda, cuda:0, ...") from err
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("this machine has no usable GPU", found=name, remedy="set training.device to auto or cpu.")
    return device


def cpu_has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 natively."""
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def full_memory_says(remedy: str) -> Iterator[None]:
    """Turn what torch raises where a GPU's memory runs out into a `ConfigError` with this remedy."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as err:
        wanted = str(err).partition("Tried to allocate ")[2].partition(". ")[0]
        raise ConfigError(
            "the GPU's memory ran out", found=f"{wanted} more were wanted" if wanted else None, remedy=remedy
        ) from err


def fetch(tensor: torch.Tensor, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    """Begin to copy a tensor to the CPU, and return what gives the copy once it is there.

    From a GPU, what has been asked of it meanwhile goes on: the copy only waits for what came before it.
    """
    import torch

    source = tensor.detach().to(dtype)
    if not source.is_cuda:
        return lambda: source
    copy, copied = torch.empty(source.shape, dtype=dtype, pin_memory=True), torch.cuda.Event()
    copy.copy_(source, non_blocking=True)
    copied.record()

    def wait() -> torch.Tensor:
        copied.synchronize()
        return copy

    return wait


def send(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return a tensor of `array` on `device`; a GPU copies it asynchronously from pinned memory."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
