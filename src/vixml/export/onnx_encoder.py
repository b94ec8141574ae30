"""The text encoder as ONNX, checked with onnxruntime against torch before anybody uses it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vixml.core.errors import ConfigError, StateError

if TYPE_CHECKING:
    from vixml.serving.encoder import ItemEncoder

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4


def write_onnx(encoder: ItemEncoder, file: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Write token ids [b, t] and attention mask [b, t] to unit vectors [b, d], for any b and t.

    Args:
        encoder: A text encoder, see `refuse_other_encoders`.
        file: The file.
        texts: Texts that the result is checked with, at least one.

    Returns:
        `largest_difference` between onnxruntime and this package's own vectors.

    Raises:
        ConfigError: A library is not installed.
        StateError: The vectors differ.
    """
    import torch

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(
            "ONNX cannot be written", found=f"not installed: {', '.join(missing)}", remedy="install the extra `onnx`."
        )
    network = encoder.model.embedder.backbone
    attention = network.config._attn_implementation
    network.set_attn_implementation("eager")  # plain products, which every version of ONNX has
    tokens = _tokens(encoder, texts)
    names = ["input_ids", "attention_mask"]
    axes = {0: torch.export.Dim("batch", min=1, max=65_536), 1: torch.export.Dim("length", min=2)}
    try:
        program: Any = torch.onnx.export(
            _pooled(network, encoder.dim),
            tuple(torch.from_numpy(tokens[name]) for name in names),
            input_names=names,
            output_names=["vectors"],
            dynamic_shapes=(axes, axes),
            dynamo=True,
        )
        program.save(str(file))
    finally:
        network.set_attn_implementation(attention)
    return {"largest_difference": _check(encoder, file, texts)}


def _pooled(network: Any, dim: int) -> Any:
    """Return a module that pools and normalises as the embedder does."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask.to(hidden.dtype)[..., None]
            mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            return torch.nn.functional.normalize(mean[:, :dim], dim=-1)

    return Pooled().eval()


def _tokens(encoder: ItemEncoder, texts: Sequence[str]) -> dict[str, np.ndarray]:
    longest = encoder.backbone.max_length
    tokens = encoder.tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="np")
    return {name: np.asarray(tokens[name], dtype=np.int64) for name in ("input_ids", "attention_mask")}


def _check(encoder: ItemEncoder, file: Path, texts: Sequence[str]) -> float:
    """Compare the vectors of each text alone and of all together; another number of texts must not matter."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected = encoder.embed(texts)
    together = session.run(None, _tokens(encoder, texts))[0]
    alone = np.concatenate([session.run(None, _tokens(encoder, [text]))[0] for text in texts])
    difference = float(max(np.abs(found - expected).max() for found in (together, alone)))
    if not difference <= TOLERANCE:
        raise StateError(
            "the ONNX encoder gives other vectors than torch",
            file=file,
            found=f"{difference:g}",
            expected=f"{TOLERANCE:g}",
        )
    return difference
