"""Image embedding: file by file, nothing side by side, nothing remembered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vixml.images.decode import decode, read_bytes
from vixml.images.vision import VisionEncoder


def encode_one_by_one(root: Path, files: Sequence[str], encoder: VisionEncoder, max_pixels: int) -> np.ndarray:
    """Return the embedding of each file float32 [files, d]."""
    images = [encoder.preprocess(decode(read_bytes(root, file), max_pixels)) for file in files]
    return np.concatenate([encoder.encode_tensors([image]) for image in images])
