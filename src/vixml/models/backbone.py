"""Backbones: a transformers encoder or decoder without head, from a folder, the hub, or tiny and random."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vixml.core.errors import ConfigError
from vixml.models.tokenizer import from_hub_or_folder
from vixml.params.model import BackboneParams, LoraParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def make_backbone(params: BackboneParams, tokenizer: PreTrainedTokenizerFast, *, max_positions: int) -> PreTrainedModel:
    """Return the network that turns input embeddings [b, t, d] into hidden states [b, t, d].

    Args:
        params: Which backbone.
        tokenizer: Its tokenizer, for the vocabulary size of a tiny one.
        max_positions: Longest sequence it must take, prompt and images included.

    Raises:
        ConfigError: It cannot be loaded, is no plain encoder or decoder, or has too few positions.
    """
    from transformers import AutoModel

    if params.name == "tiny":
        model = AutoModel.from_config(_tiny_config(params, len(tokenizer), max_positions))
    else:
        model = from_hub_or_folder(AutoModel.from_pretrained, params.name, dtype="float32", use_safetensors=True)
    _check(model, params, max_positions)
    _drop_unused(model)
    model = model if params.lora is None else _add_lora(model, params.lora)
    if params.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model


def backbone_from_config(config_file: Path) -> PreTrainedModel:
    """Return a backbone with random weights of the architecture described in a saved configuration."""
    import json

    from transformers import AutoConfig, AutoModel

    facts = json.loads(config_file.read_text(encoding="utf-8"))
    config = AutoConfig.for_model(facts.pop("model_type"), **facts)
    model = AutoModel.from_config(config)
    _drop_unused(model)
    return model


def _drop_unused(model: PreTrainedModel) -> None:
    """Take out what never contributes: a BERT-like pooler, and a decoder's cache of keys and values."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    model.config.use_cache = False


def _tiny_config(params: BackboneParams, vocab_size: int, max_positions: int) -> Any:
    from transformers import BertConfig, Qwen2Config

    tiny = params.tiny
    shared = {
        "vocab_size": vocab_size,
        "hidden_size": tiny.hidden_size,
        "num_hidden_layers": tiny.num_layers,
        "num_attention_heads": tiny.num_heads,
        "intermediate_size": tiny.intermediate_size,
        "max_position_embeddings": max_positions,
        "initializer_range": tiny.initializer_range,
    }
    if params.family == "encoder":
        return BertConfig(**shared, hidden_dropout_prob=tiny.dropout, attention_probs_dropout_prob=tiny.dropout)
    return Qwen2Config(**shared, num_key_value_heads=tiny.num_heads)


def _check(model: PreTrainedModel, params: BackboneParams, max_positions: int) -> None:
    import inspect

    accepted = inspect.signature(model.forward).parameters
    missing = [name for name in ("inputs_embeds", "attention_mask", "position_ids") if name not in accepted]
    if missing:
        raise ConfigError(
            f"{type(model).__name__} does not fit: it takes no {', '.join(missing)}",
            found=params.name,
            expected="a text encoder (BERT, DistilBERT, MiniLM, ...) or a decoder (Qwen, Llama, Gemma, ...)",
        )
    if not hasattr(model.config, "hidden_size"):
        raise ConfigError(
            f"{type(model).__name__} does not fit: it is no plain text model (its configuration has no hidden_size)",
            found=params.name,
            remedy="use the text-only version of this model.",
        )
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and positions < max_positions:
        raise ConfigError(
            "the backbone has too few positions",
            found=f"{params.name}: {positions}",
            expected=f"at least {max_positions} (text, prompt and images)",
            remedy="lower backbone.max_length or model.max_images.",
        )


def _add_lora(model: PreTrainedModel, lora: LoraParams) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        use_rslora=True,
        bias="none",
    )
    try:
        return cast("PreTrainedModel", get_peft_model(model, config))
    except ValueError as err:
        names = sorted({n.rsplit(".", 1)[-1] for n, m in model.named_modules() if type(m).__name__ == "Linear"})
        raise ConfigError(
            "LoRA found none of its target layers",
            found=list(lora.targets),
            expected=f"names among {names}",
            remedy="set backbone.lora.targets.",
        ) from err
