"""Tiny networks with random weights in a model cache of their own, under the names of the recipes' checkpoints.

So a command that names one runs to its end without a network; what it would learn is not what is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams

REVISION = "0" * 40
TEXTS = [f"{colour} {thing}" for colour in ("red", "green", "blue") for thing in ("shoe", "hat", "ring")] * 5
SMALL = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 32}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "bert": SMALL,
    "distilbert": {"n_layers": 1, "n_heads": 2, "dim": 32, "hidden_dim": 32},
    "qwen2": {**SMALL, "num_key_value_heads": 1},
}
CHECKPOINTS = {
    "sentence-transformers/paraphrase-MiniLM-L3-v2": "bert",
    "sentence-transformers/msmarco-distilbert-base-v4": "distilbert",
    "intfloat/e5-base-v2": "bert",
    "sentence-transformers/all-MiniLM-L6-v2": "bert",
    "HuggingFaceTB/SmolLM2-135M-Instruct": "qwen2",
    "Qwen/Qwen2.5-0.5B-Instruct": "qwen2",
    "Qwen/Qwen2.5-3B-Instruct": "qwen2",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2",
}


def write_checkpoints(cache: Path) -> None:
    """Fill a model cache (`HF_HUB_CACHE`) as if all of them had been downloaded."""
    for name, kind in CHECKPOINTS.items():
        folder = cache / f"models--{name.replace('/', '--')}"
        write_text_model(folder / "snapshots" / REVISION, kind)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(REVISION, encoding="utf-8")


def write_models(folder: Path) -> None:
    """Write the folders that the documentation calls `/models/...`: a text backbone and a vision model."""
    write_text_model(folder / "minilm-l6", "bert")
    write_vision_model(folder / "openclip-mobilenetv2")


def write_text_model(folder: Path, kind: str) -> None:
    from transformers import AutoConfig, AutoModel

    family = "decoder" if kind == "qwen2" else "encoder"
    tokenizer = make_tokenizer(BackboneParams(name="tiny", family=family), TEXTS)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **KINDS[kind])
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_vision_model(folder: Path) -> None:
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    sizes = {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}
    shape = {"embed_dim": 8, "vision_cfg": sizes, "text_cfg": {"layers": 1, "width": 64, "heads": 1}}
    folder.mkdir()
    config = {"model_cfg": shape, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(CLIP(**shape).state_dict(), folder / "open_clip_model.safetensors")
