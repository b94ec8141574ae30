"""Tiny random backbones of each supported architecture, saved as folders with a small tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerFast

from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.model import BackboneParams

WORDS = ["red", "blue", "ceramic", "wooden", "vase", "lamp", "chair", "glass", "of", "this", "product", "text", "and"]
SIZE = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
GROUPED = {**SIZE, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", {**SIZE, "max_position_embeddings": 64}),
    "distilbert": (
        "DistilBertConfig",
        {"vocab_size": 40, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64},
    ),
    "roberta": ("RobertaConfig", {**SIZE, "max_position_embeddings": 66, "pad_token_id": 1}),
    "xlm-roberta": ("XLMRobertaConfig", {**SIZE, "max_position_embeddings": 66, "pad_token_id": 1}),
    "mpnet": ("MPNetConfig", {**SIZE, "max_position_embeddings": 66, "pad_token_id": 1}),
    "albert": ("AlbertConfig", {**SIZE, "embedding_size": 16, "max_position_embeddings": 64}),
    "electra": ("ElectraConfig", {**SIZE, "embedding_size": 16, "max_position_embeddings": 64}),
}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2Config", {k: v for k, v in GROUPED.items() if k != "head_dim"} | {"vocab_size": 300}),
    "qwen3": ("Qwen3Config", GROUPED),
    "llama": ("LlamaConfig", {k: v for k, v in GROUPED.items() if k != "head_dim"}),
    "gemma3": (
        "Gemma3TextConfig",
        {**GROUPED, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]},
    ),
}


def make_tokenizer_like(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words with the special tokens that the architecture's own has; Qwen2's must be of bytes."""
    if name == "qwen2":
        return make_tokenizer(BackboneParams(family="decoder", tiny={"vocab_size": 300}), WORDS)
    is_encoder = name in ENCODERS
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] if is_encoder else ["<pad>", "<unk>", "<bos>", "<eos>"]
    vocabulary = {word: i for i, word in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    front, back = specials[2:]
    begins = f"{front} $A" if name in {"llama", "gemma3"} else "$A"
    template = f"{front} $A {back}" if is_encoder else begins
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(front, vocabulary[front]), (back, vocabulary[back])]
    )
    roles = ("cls_token", "sep_token") if is_encoder else ("bos_token", "eos_token")
    named = dict(zip(("pad_token", "unk_token", *roles), specials, strict=True))
    if name == "qwen3":
        del named["bos_token"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny random model of an architecture, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            config_class, settings = {**ENCODERS, **DECODERS}[name]
            torch.manual_seed(0)
            config = getattr(transformers, config_class)(**settings)
            # large weights: small ones make all embeddings of a random network alike
            config.initializer_range = 0.3
            made[name] = tmp_path_factory.mktemp(name)
            AutoModel.from_config(config).save_pretrained(made[name])
            make_tokenizer_like(name).save_pretrained(str(made[name]))
        return made[name]

    return folder
