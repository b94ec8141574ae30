"""Parameters of the frozen vision encoder and of the image bank."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vixml.params.base import Params

TINY = "tiny"
"""Name of the project's own small vision model."""


class VisionParams(Params):
    """Which open_clip model turns images into vectors, and how the bank is built."""

    model: str = Field(TINY, min_length=1)
    """An open_clip model name, `hf-hub:ORG/MODEL`, `local-dir:FOLDER`, or `tiny` (random weights, no download)."""
    pretrained: str | None = None
    """Tag of the weights of a named model (`webli`, `openai`, ...); may be left out where there is only one."""
    max_download_gb: float = Field(10.0, gt=0)
    """Largest weights that are fetched from the hub, in GB; a larger model is refused before that."""
    tiny_image_size: int = Field(64, ge=32, le=512)
    """Pixels a side that the model `tiny` reads; other models bring their own size."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; `auto` takes the GPU when there is one (then in bfloat16)."""
    batch_size: int = Field(64, ge=1)
    """Images encoded at once."""
    shard_size: int = Field(4096, ge=1)
    """Image files after which the finished vectors are put on disk; a killed run continues there."""
    workers: int = Field(0, ge=0, le=256)
    """Threads that read and decode images; 0 takes one for each CPU core, at most 16."""
    max_pixels: int = Field(50_000_000, ge=1)
    """Larger images (width * height) are treated as absent: a small file can hold a picture that fills the memory."""
