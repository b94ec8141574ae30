"""How much a model hub may send: asked before anything is fetched."""

from __future__ import annotations

from vixml.core.errors import ConfigError

_SECONDS = 10.0  # for the hub's answer
_GB = 1e9


def check_download(name: str, limit_gb: float, *, weights: str, setting: str) -> None:
    """Refuse a model whose weights are larger than may be fetched.

    Where the hub does not answer, nothing is said: the loader does, or finds the model in the local cache.

    Args:
        name: The model on the hub, `ORG/MODEL`.
        limit_gb: Most bytes of weights, in GB (1e9).
        weights: Name of the file of weights without its ending, or what the names of its parts begin with.
        setting: Full name of the setting that holds the limit.

    Raises:
        ConfigError: It is larger.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return
    try:
        listed = HfApi().model_info(name, files_metadata=True, timeout=_SECONDS).siblings or []
    except Exception:  # no network, no such model, no right to see it: whatever the client's HTTP library raises
        return
    sizes = {file.rfilename: file.size or 0 for file in listed if file.rfilename.endswith(".safetensors")}
    parts = sum(size for file, size in sizes.items() if file.startswith(f"{weights}-"))
    size = sizes.get(f"{weights}.safetensors", parts) / _GB
    if size > limit_gb:
        raise ConfigError(
            "the model is larger than may be downloaded",
            found=f"{name}, {size:.1f} GB",
            expected=f"at most {limit_gb:g} GB",
            remedy=f"choose a smaller one, or allow more: `{setting}`.",
        )
