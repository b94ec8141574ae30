"""The text encoder as a model of sentence-transformers: opens with that library alone and gives the same vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vixml.core.directories import write_json
from vixml.core.errors import ConfigError

if TYPE_CHECKING:
    from vixml.models.sequence import InputTemplate
    from vixml.serving.encoder import ItemEncoder

_MODULES = "sentence_transformers.models"


def refuse_other_encoders(encoder: ItemEncoder) -> None:
    """Make sure that the format can hold the encoder.

    Raises:
        ConfigError: It is a decoder, looks at images, or puts more around a text than its tokenizer does.
    """
    found = None
    if encoder.backbone.family != "encoder":
        found = f"a backbone of the family {encoder.backbone.family}"
    elif encoder.uses_images or encoder.model.embedder.projection is not None:
        found = "a model that looks at images"
    elif encoder.backbone.pooling != "mean":
        found = f"pooling {encoder.backbone.pooling}"
    elif _surrounded(encoder.model.embedder.template):
        found = "a prompt around the text"
    if found is not None:
        raise ConfigError(
            "this encoder cannot be exported for sentence-transformers",
            found=found,
            expected="a text encoder without prompts whose vectors are means, such as `encoder_text`",
            remedy="export `encoder_text`; the label vectors of any model can be exported (`--no-encoder`).",
        )


def write_sentence_encoder(encoder: ItemEncoder, folder: Path) -> None:
    """Write a model folder of sentence-transformers.

    Args:
        encoder: A text encoder, see `refuse_other_encoders`.
        folder: New folder.
    """
    refuse_other_encoders(encoder)
    folder.mkdir(parents=True)
    network = encoder.model.embedder.backbone
    attention = network.config._attn_implementation
    network.set_attn_implementation("sdpa")  # ours is registered with this package alone
    try:
        network.save_pretrained(str(folder), safe_serialization=True)
    finally:
        network.set_attn_implementation(attention)
    encoder.tokenizer.save_pretrained(str(folder))
    width = int(network.config.hidden_size)
    longest = {"max_seq_length": encoder.backbone.max_length, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", longest)
    pooling = dict.fromkeys(
        ("cls_token", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"), False
    )
    modes: dict[str, Any] = {f"pooling_mode_{name}": value for name, value in {**pooling, "mean_tokens": True}.items()}
    parts: list[tuple[str, dict[str, Any]]] = [("Pooling", {"word_embedding_dimension": width, **modes})]
    if encoder.dim != width:
        dense = {"in_features": width, "out_features": encoder.dim, "bias": False}
        parts.append(("Dense", {**dense, "activation_function": "torch.nn.modules.linear.Identity"}))
    parts.append(("Normalize", {}))
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{_MODULES}.Transformer"}]
    for place, (kind, settings) in enumerate(parts, start=1):
        path = f"{place}_{kind}"
        modules.append({"idx": place, "name": str(place), "path": path, "type": f"{_MODULES}.{kind}"})
        (folder / path).mkdir()
        if settings:
            write_json(folder / path / "config.json", settings)
        if kind == "Dense":
            _write_cut(folder / path, width, encoder.dim)
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    )


def _surrounded(template: InputTemplate) -> bool:
    return bool(template.begin or template.text_prompt or template.end)


def _write_cut(folder: Path, width: int, dim: int) -> None:
    """Write the weights of a linear layer that keeps the first `dim` numbers."""
    import torch
    from safetensors.torch import save_file

    save_file({"linear.weight": torch.eye(dim, width)}, str(folder / "model.safetensors"))
