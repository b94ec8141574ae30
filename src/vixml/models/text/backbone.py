"""Backbones: a transformers encoder or decoder without head, from a folder, the hub, or tiny and random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vixml.core.errors import ConfigError
from vixml.core.guards.untrusted import opening
from vixml.core.hub import check_download
from vixml.models.saved import drop_foreign_attention, read_config
from vixml.models.text.compatibility import check_fit, is_causal
from vixml.models.text.tokenizer import from_hub_or_folder
from vixml.params.model import BackboneParams, LoraParams

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def make_backbone(
    params: BackboneParams,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_positions: int,
    offline: bool = False,
    half: bool = False,
) -> PreTrainedModel:
    """Return the network that turns input embeddings [b, t, d] into hidden states [b, t, d].

    Args:
        params: Which backbone.
        tokenizer: Its tokenizer, for the vocabulary size.
        max_positions: Longest sequence it must take, prompt and images included.
        offline: Take it from a folder or the hub's local cache alone.
        half: Read what LoRA does not train in bfloat16: in float32 first, it would take twice the main memory.

    Raises:
        ConfigError: It cannot be loaded, or does not fit; the error says why.
    """
    from transformers import AutoConfig, AutoModel

    if params.name == "tiny":
        model = AutoModel.from_config(_tiny_config(params, len(tokenizer), max_positions))
    else:
        if not offline and not Path(params.name).expanduser().exists():
            check_download(
                params.name,
                params.max_download_gb,
                weights="model",
                setting=f"{params.family}.backbone.max_download_gb",
            )
        where: dict[str, Any] = {"local_files_only": True} if offline else {}
        config = drop_foreign_attention(from_hub_or_folder(AutoConfig.from_pretrained, params.name, **where))
        dtype = "bfloat16" if half and params.lora is not None else "float32"
        with without_weight_bar():
            loaded = from_hub_or_folder(
                AutoModel.from_pretrained, params.name, dtype=dtype, use_safetensors=True, config=config, **where
            )
        model = text_tower(loaded)
    check_fit(model, params, vocabulary=len(tokenizer), max_positions=max_positions)
    _prepare(model, params)
    model = model if params.lora is None else _add_lora(model, params.lora)
    if params.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model


@contextmanager
def without_weight_bar() -> Iterator[None]:
    """Keep transformers' bar "Loading weights" off the terminal; those of downloads stay."""
    from transformers.utils import logging

    def hidden(bar: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return bar(*args, **{**options, "disable": True})

    before = logging.set_tqdm_hook(hidden)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def backbone_from_config(config_file: Path, params: BackboneParams) -> PreTrainedModel:
    """Return a backbone with random weights of the architecture described in a saved configuration."""
    from transformers import AutoConfig, AutoModel

    facts = read_config(config_file)
    with opening(config_file):
        config = AutoConfig.for_model(facts.pop("model_type"), **facts)
        model = AutoModel.from_config(config, trust_remote_code=False)
        _prepare(model, params)
    return model


def text_tower(model: PreTrainedModel) -> PreTrainedModel:
    """Return the text part of a model that also has a part for images or sound (Gemma-3 4B and larger, say)."""
    return cast("PreTrainedModel", getattr(model, "language_model", None) or model)


def word_dim(backbone: PreTrainedModel) -> int:
    """Return the width of the word embeddings; ALBERT's and ELECTRA's is not that of the hidden states."""
    return int(backbone.get_input_embeddings().weight.shape[1])


def word_scale(backbone: PreTrainedModel) -> float:
    """Return what a word's row of the embedding matrix is multiplied by on its way in: Gemma's sqrt(d), else 1."""
    return float(getattr(backbone.get_input_embeddings(), "scalar_embed_scale", 1.0))


def linear_names(model: nn.Module) -> list[str]:
    """Return the names of the linear layers inside the blocks: of attention and feed-forward, whatever the model.

    A block is an entry of a numbered list of modules; embeddings and heads stand outside of it.
    """
    kinds = {"Linear", "Conv1D"}
    paths = [name.split(".") for name, module in model.named_modules() if type(module).__name__ in kinds]
    return sorted({path[-1] for path in paths if any(part.isdigit() for part in path[:-1])})


def _prepare(model: PreTrainedModel, params: BackboneParams) -> None:
    """Take out what never contributes, a BERT-like pooler and a decoder's cache; set the attention.

    With `is_causal` off, transformers masks the padding alone; each attention layer has a flag of its own besides, for
    batches without padding, which come without a mask.
    """
    from vixml.models.text.attention import use_short_attention

    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    model.config.use_cache = False
    use_short_attention(model)
    if params.family == "decoder" and params.attention == "bidirectional":
        model.config.is_causal = False
        for module in model.modules():
            if is_causal(module):
                module.is_causal = False


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


def _add_lora(model: PreTrainedModel, lora: LoraParams) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=linear_names(model) if lora.targets == "auto" else list(lora.targets),
        use_rslora=True,
        bias="none",
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as err:
        raise ConfigError(
            "LoRA found none of its target layers",
            found=lora.targets,
            expected=f"names among {linear_names(model)}",
            remedy="set backbone.lora.targets, or leave it at auto.",
        ) from err
    for module in adapted.modules():
        if isinstance(module, BaseTunerLayer):
            # Autocast brings the adapters' input to the right type; peft would widen it first, on every layer.
            module.cast_input_dtype_enabled = False  # type: ignore[assignment]
    return cast("PreTrainedModel", adapted)


def merge_adapters(model: PreTrainedModel) -> PreTrainedModel:
    """Return the network with its adapters added to the weights that they adapt: nothing is left to do beside them.

    In the type of the weights, so merge before a base goes to half precision.
    """
    return cast("PreTrainedModel", model.merge_and_unload())
