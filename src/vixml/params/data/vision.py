"""Parameters of the frozen vision encoder and of the image bank."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vixml.params.base import Params, Processes

TINY = "tiny"
"""Name of the project's own small vision model."""


class VisionParams(Params):
    """Which open_clip model turns images into vectors, and how the bank is built."""

    model: str = Field(TINY, min_length=1)
    """An open_clip model name, `hf-hub:ORG/MODEL`, `local-dir:FOLDER`, or `tiny` (random weights, no download)."""
    pretrained: str | None = None
    """Tag of the weights of a named model (`webli`, `openai`, ...); optional if there is only one."""
    max_download_gb: float = Field(10.0, gt=0)
    """Largest weights to download from the hub, in GB; a larger model is refused before the download."""
    tiny_image_size: int = Field(64, ge=32, le=512)
    """Image side in pixels for the model `tiny`; other models define their own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; `auto` uses a GPU if there is one (in bfloat16)."""
    processes: Processes = 1
    """Processes on this machine that each encode a share of the images, one GPU each; `auto` is one for each GPU."""
    batch_size: int = Field(64, ge=1)
    """Images encoded at the same time."""
    shard_size: int = Field(4096, ge=1)
    """Image files after which the finished vectors are saved; a killed run continues from there."""
    workers: int = Field(0, ge=0, le=256)
    """Threads that read and decode images; 0 uses one per CPU core, at most 16."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Larger images (width * height) are treated as missing: a small file can contain a picture that fills the
    memory."""
