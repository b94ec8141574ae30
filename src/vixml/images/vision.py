"""The frozen vision encoder: any open_clip model with the preprocessing that belongs to its weights.

The project's own `tiny` model is a small residual network with seeded random weights. Random convolutions keep colours,
textures and outlines of simple drawings nearly linearly decodable once their batch normalisation knows the scale of its
inputs, so one batch of generated drawings sets those statistics.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vixml.core.directories import hash_file
from vixml.core.errors import ConfigError
from vixml.core.hub import check_download
from vixml.core.provenance import fingerprint_json
from vixml.core.seeding import global_stream, numpy_generator, one_thread
from vixml.params.data.vision import TINY, VisionParams

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_TINY_CONFIG = "vixml-tiny-resnet"
_CONFIG_FILE = "open_clip_config.json"
_CALIBRATION_DRAWINGS = 256
_NETWORK_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True)
class VisionEncoder:
    """A frozen image tower.

    Args:
        name: The model as configured.
        dim: Width of an image vector.
        preprocess: Turns one RGB image into the model's float32 input tensor [3, height, width].
        identity: Fingerprint of weights and preprocessing: equal identity, equal vectors.
        model: The open_clip model without its text tower.
        device: Where it runs.
    """

    name: str
    dim: int
    preprocess: Callable[[Image], torch.Tensor]
    identity: str
    model: Any
    device: torch.device

    def encode(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Return one vector for each RGB image, float32 [n, dim], not normalised."""
        return self.encode_tensors([self.preprocess(image) for image in images])

    def encode_tensors(self, inputs: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Return one vector for each preprocessed image [3, height, width], float32 [n, dim], not normalised."""
        import torch

        if not inputs:
            return np.zeros((0, self.dim), dtype=np.float32)
        batch = torch.stack(list(inputs)).to(self.device)
        on_gpu = self.device.type == "cuda"
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on_gpu):
            vectors: NDArray[np.float32] = self.model.encode_image(batch, normalize=False).float().cpu().numpy()
        return vectors


@one_thread()
def load_vision(params: VisionParams, seed: int, *, offline: bool = False) -> VisionEncoder:
    """Load the vision encoder that `params.model` names.

    Args:
        params: Model name, pretrained tag and device.
        seed: Seed of the random weights of `tiny`; other models ignore it.
        offline: Take it from a folder or the hub's local cache alone, whatever the network has.

    Raises:
        ConfigError: Unknown model or tag, no weights, an incomplete folder, or a hub that cannot be reached.
    """
    from PIL import Image

    device = _device(params.device)
    if params.model == TINY:
        model, preprocess = _load_tiny(params.tiny_image_size, seed)
        source: Mapping[str, Any] = {"model": TINY, "seed": seed}
    else:
        model, preprocess, source = _load_open_clip(params, offline)
    for tower in ("text", "transformer", "token_embedding", "text_decoder"):
        if hasattr(model, tower):
            delattr(model, tower)  # only images are encoded; a text tower can take gigabytes
    model = model.to(device).eval().requires_grad_(False)
    identity = fingerprint_json({**source, "preprocess": repr(preprocess), "device": device.type})
    encoder = VisionEncoder(params.model, 0, preprocess, identity, model, device)
    return replace(encoder, dim=encoder.encode([Image.new("RGB", (64, 64), "white")]).shape[1])


def hub_name(params: VisionParams) -> str | None:
    """Return the folder of a model, or its name on the hub; None for one that comes from neither.

    Raises:
        ConfigError: open_clip knows no such model or tag, or the folder is incomplete.
    """
    if params.model == TINY:
        return None
    folder = _local_folder(params.model)
    if folder is not None:
        return str(folder)
    if params.model.startswith("hf-hub:"):
        return params.model.removeprefix("hf-hub:")
    return _repository(params.model, _resolve_tag(params.model, params.pretrained)) or None


def _device(wanted: str) -> torch.device:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("vision.device asks for a GPU, but torch sees none", remedy="set vision.device: auto.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _load_tiny(image_size: int, seed: int) -> tuple[Any, Any]:
    """Build the project's tiny model: seeded random weights, statistics from seeded drawings."""
    import open_clip

    with resources.as_file(resources.files("vixml.models") / f"{_TINY_CONFIG}.json") as file:
        open_clip.add_model_config(file)
    with global_stream(seed, "vision"), _without_the_warning_of_random_weights():
        model, _, preprocess = open_clip.create_model_and_transforms(
            _TINY_CONFIG,
            force_image_size=image_size,
            image_mean=(0.5, 0.5, 0.5),
            image_std=(0.5, 0.5, 0.5),
            image_interpolation="bicubic",
            image_resize_mode="squash",
        )
    _calibrate(model.visual, preprocess, image_size, numpy_generator(seed, "vision", "calibration"))
    return model, preprocess


@contextmanager
def _without_the_warning_of_random_weights() -> Iterator[None]:
    """Keep open_clip from warning about weights that are random on purpose."""

    def wanted(record: logging.LogRecord) -> bool:
        return "No pretrained weights" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


def _calibrate(tower: torch.nn.Module, preprocess: Any, image_size: int, generator: np.random.Generator) -> None:
    """Set the running statistics of all batch normalisations from one batch of drawings."""
    import torch
    from PIL import Image

    from vixml.demo.drawing import COLOURS, JITTER_WIDTH, PATTERNS, SECOND_COLOURS, SHAPES, draw_batch

    def choose(options: Sequence[str] | Mapping[str, Any]) -> NDArray[np.int64]:
        return generator.integers(0, len(options), _CALIBRATION_DRAWINGS)

    drawings = draw_batch(
        colour=choose(COLOURS),
        second=choose(SECOND_COLOURS),
        pattern=choose(PATTERNS),
        shape=choose(SHAPES),
        jitter=generator.random((_CALIBRATION_DRAWINGS, JITTER_WIDTH)),
        pixels=image_size,
    )
    for module in tower.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain average: one batch replaces the initial statistics
    tower.train()
    with torch.no_grad():
        tower(torch.stack([preprocess(Image.fromarray(drawing)) for drawing in drawings]))
    tower.eval()


def _load_open_clip(params: VisionParams, offline: bool) -> tuple[Any, Any, Mapping[str, Any]]:
    """Load a pretrained model; return it with its preprocessing and what identifies its weights."""
    import open_clip

    name, pretrained = params.model, params.pretrained
    folder = _local_folder(name)
    if folder is not None:
        source: Mapping[str, Any] = {file.name: hash_file(file) for file in sorted(folder.iterdir()) if file.is_file()}
        name, pretrained = f"local-dir:{folder}", None
    elif name.startswith("hf-hub:"):
        source, pretrained = {"model": name}, None
    else:
        pretrained = _resolve_tag(name, pretrained)
        source = {"model": name, "pretrained": pretrained}
    repository = name.removeprefix("hf-hub:") if pretrained is None else _repository(name, pretrained)
    try:
        with _no_waiting_for_the_network(folder is None, offline=offline), _no_pickle():
            if offline and folder is None and not repository:
                raise ValueError("its weights come from neither a folder nor the hub")
            if not offline and folder is None and repository:
                check_download(
                    repository,
                    params.max_download_gb,
                    weights="open_clip_model",
                    setting="vision.max_download_gb",
                )
            model, preprocess = open_clip.create_model_from_pretrained(name, pretrained=pretrained)
    except ConfigError:
        raise
    except Exception as err:
        raise ConfigError(
            "the vision model could not be loaded",
            found=f"{params.model}: {err}",
            expected="an open_clip model with weights",
            remedy="a predictor never fetches anything: download the model if you trust it (`hf download NAME`)."
            if offline
            else "a model from a hub needs a network connection once; without one, download its folder elsewhere and "
            "set vision.model: local-dir:FOLDER, or use vision.model: tiny.",
        ) from err
    return model, preprocess, source


def _local_folder(name: str) -> Path | None:
    """Return the folder that `name` means, if it means one: `local-dir:FOLDER`, or simply a folder."""
    explicit = name.startswith("local-dir:")
    folder = Path(name.removeprefix("local-dir:")).expanduser()
    if not explicit and not (folder / _CONFIG_FILE).is_file():
        return None
    if not (folder / _CONFIG_FILE).is_file():
        raise ConfigError(
            "the folder of the vision model is missing or incomplete",
            file=folder,
            found="no such folder" if not folder.is_dir() else f"no {_CONFIG_FILE} in it",
            expected=f"{_CONFIG_FILE} (architecture and preprocessing) and open_clip_model.safetensors",
        )
    return folder


def _resolve_tag(name: str, pretrained: str | None) -> str:
    """Return the tag of the weights of a named open_clip model."""
    import open_clip

    cleaned = name.replace("/", "-")
    if cleaned not in open_clip.list_models():
        near = difflib.get_close_matches(cleaned, open_clip.list_models(), n=3, cutoff=0.5)
        raise ConfigError(
            "open_clip knows no vision model of this name",
            found=name,
            expected="a model name, hf-hub:ORG/MODEL, local-dir:FOLDER or tiny",
            remedy=f"did you mean {' or '.join(near)}?" if near else "see open_clip.list_models().",
        )
    tags = open_clip.list_pretrained_tags_by_model(cleaned)
    if pretrained is None and len(tags) == 1:
        return str(tags[0])
    # A path to a weights file is refused on purpose: open_clip would apply CLIP's preprocessing whatever the model.
    if pretrained is None or pretrained not in tags:
        raise ConfigError(
            f"the vision model {name} needs vision.pretrained, the tag of its weights",
            found=pretrained,
            expected=f"one of {', '.join(tags)}" if tags else "a model with published weights",
            remedy="to use weights from your own folder, set vision.model: local-dir:FOLDER.",
        )
    return pretrained


def _repository(name: str, tag: str) -> str:
    """Return the hub location of the weights of a named model; empty if they are not on the hub."""
    import open_clip

    place = str(open_clip.get_pretrained_cfg(name.replace("/", "-"), tag).get("hf_hub", ""))
    return "/".join(place.split("/")[:2])


@contextmanager
def _no_pickle() -> Iterator[None]:
    """Let open_clip read safetensors only: it would fall back to pickle files, which can run code."""
    import torch

    def refuse(file: object, *_: object, **__: object) -> None:
        raise ConfigError(
            "the weights are a pickle file, which could run code",
            file=str(file),
            expected="a .safetensors file",
            remedy="convert the weights once, in a place that you trust.",
        )

    load, torch.load = torch.load, refuse  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.load = load


@contextmanager
def _no_waiting_for_the_network(uses_hub: bool, *, offline: bool) -> Iterator[None]:
    """Where the hub cannot be reached, look in the local cache only: its client would retry for most of a minute.

    With `offline` the hub is not asked at all, not even whether it is there.
    """
    if not uses_hub and not offline:
        yield
        return
    from huggingface_hub import constants, get_session

    before = constants.HF_HUB_OFFLINE
    if offline:
        constants.HF_HUB_OFFLINE = True
    elif not before:
        try:
            get_session().head(constants.ENDPOINT, timeout=_NETWORK_TIMEOUT)
        except Exception:  # any failure of any HTTP client means the same: no hub
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
