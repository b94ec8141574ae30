"""Whether a model can be had from the hub, and how much the hub may send: asked before anything is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vixml.core.errors import ConfigError

_SECONDS = 10.0  # for the hub's answer
_GB = 1e9
_ANSWER = 5.0  # seconds within which a hub that can be reached answers
_FILES = ("config.json", "open_clip_config.json", "open_clip_model.safetensors")
"""Files of which a downloaded model has at least one in the cache."""


def check_available(wanted: Mapping[str, str]) -> None:
    """Make sure that each model is a folder, in the hub's local cache, or on a hub that can be reached.

    Args:
        wanted: The setting that names a model -> its folder, or its name on the hub.

    Raises:
        ConfigError: A folder is not there; or a model is in no cache and the hub cannot be reached.
    """
    missing = {}
    for setting, name in wanted.items():
        folder = Path(name).expanduser()
        if folder.is_dir() or _is_cached(name):
            continue
        if folder.is_absolute() or name.startswith((".", "~")):
            raise ConfigError("the model's folder does not exist", file=folder, remedy=f"check `{setting}`.")
        missing[setting] = name
    if not missing or _hub_answers():
        return
    folders, tiny = (",".join(f"{setting}={choice}" for setting in missing) for choice in ("FOLDER", "tiny"))
    several = len(missing) > 1
    raise ConfigError(
        f"the pretrained {'models are' if several else 'model is'} not on this machine, and the model hub cannot be "
        "reached",
        found=", ".join(f"{name} ({setting})" for setting, name in missing.items()),
        remedy=f'name local folders (`--params "{folders}"`); or download them where there is a connection, into the '
        f"cache named by HF_HOME (`hf download {next(iter(missing.values()))}`); or train the project's small random "
        f'networks from scratch (`--params "{tiny}"`).',
    )


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return any(isinstance(try_to_load_from_cache(name, file), str) for file in _FILES)
    except HFValidationError:  # no name that a hub could have
        return False


def _hub_answers() -> bool:
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=_ANSWER)
    except Exception:  # any failure of any HTTP client means the same: no hub
        return False
    return True


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
