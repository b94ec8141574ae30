"""Whether a transformers model can be a backbone, and if not, why."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from vixml.core.errors import ConfigError
from vixml.params.model import BackboneParams

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

_EXPECTED = "a text encoder (BERT, DistilBERT, MiniLM, MPNet, ...) or a decoder (Qwen, Llama, Gemma, ...)"
_INPUTS = ("inputs_embeds", "attention_mask", "position_ids")


def check_fit(model: PreTrainedModel, params: BackboneParams, *, vocabulary: int, max_positions: int) -> None:
    """Make sure that a model turns input embeddings into hidden states as the family says.

    Args:
        model: The model, without head.
        params: Name and family.
        vocabulary: Number of token ids of its tokenizer.
        max_positions: Longest sequence it must take.

    Raises:
        ConfigError: It does not fit; the error says why and what would.
    """
    reason = _misfit(model)
    if reason is not None:
        raise ConfigError(f"{type(model).__name__} does not fit: {reason}", found=params.name, expected=_EXPECTED)
    if params.family == "encoder" and any(is_causal(module) for module in model.modules()):
        raise ConfigError(
            f"{type(model).__name__} does not fit: as an encoder it would have to see the whole text, it is a decoder",
            found=f"{params.name} with backbone.family: encoder",
            remedy="set decoder_backbone, or backbone.family: decoder (with backbone.attention: bidirectional, maybe).",
        )
    words = len(model.get_input_embeddings().weight)
    if words < vocabulary:
        raise ConfigError(
            "the tokenizer belongs to another model",
            found=f"{vocabulary} token ids, {words} word embeddings",
            file=params.name,
            remedy="give a folder with a model and its own tokenizer.",
        )
    positions = num_positions(model)
    if positions is not None and positions < max_positions:
        raise ConfigError(
            "the backbone has too few positions",
            found=f"{params.name}: {positions}",
            expected=f"at least {max_positions} (text, prompt and images)",
            remedy="lower backbone.max_length or model.max_images.",
        )


def _misfit(model: PreTrainedModel) -> str | None:
    """Return why the model is no plain text network, or None."""
    from torch import nn

    if getattr(model.config, "is_encoder_decoder", False):
        return "it is an encoder-decoder, and one of its two halves would have nothing to do"
    words = model.get_input_embeddings() if _has_words(model) else None
    if not isinstance(words, nn.Embedding):
        return "it reads no text (it has no word embeddings)"
    accepted = inspect.signature(model.forward).parameters
    missing = [name for name in _INPUTS if name not in accepted]
    if missing:
        return f"it takes no {', '.join(missing)}"
    if not isinstance(getattr(model.config, "hidden_size", None), int):
        return "it is no plain text model (its configuration has no hidden_size); use the text-only version of it"
    return None


def _has_words(model: PreTrainedModel) -> bool:
    try:
        model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return False
    return True


def is_causal(module: nn.Module) -> bool:
    """Return whether a module is an attention layer that looks back only."""
    return getattr(module, "is_causal", False) is True


def first_position(model: PreTrainedModel) -> int:
    """Return the position id of a sequence's first place: RoBERTa and its kin count from behind the padding index."""
    embeddings = getattr(model, "embeddings", None)
    if embeddings is not None and hasattr(embeddings, "create_position_ids_from_inputs_embeds"):
        return int(embeddings.padding_idx) + 1
    return 0


def num_positions(model: PreTrainedModel) -> int | None:
    """Return the longest sequence that a model has positions for; None for any length."""
    positions = getattr(model.config, "max_position_embeddings", None)
    return None if positions is None or positions < 0 else int(positions) - first_position(model)


READY_MASKS = {
    **dict.fromkeys(("bert", "distilbert", "roberta", "xlm-roberta", "albert", "electra", "llama"), "padded"),
    **dict.fromkeys(("qwen2", "qwen3"), "by layer"),
}
"""Architectures that a test compares with and without masks of four dimensions.

Of kind `padded`, a model takes such a mask where there is padding; `by layer`, also none where there is none.
"""


def ready_masks(model: PreTrainedModel) -> str | None:
    """Return which kind of `READY_MASKS` a model takes; None for none, or if some of its layers see a window alone."""
    sliding = "sliding_attention" in (getattr(model.config, "layer_types", None) or ())
    return None if sliding else READY_MASKS.get(model.config.model_type)
