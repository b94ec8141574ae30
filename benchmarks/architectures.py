"""Text backbones of known architectures with random weights: their speed is that of the trained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vixml.models.sequence import InputTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DECODER = InputTemplate(
    images_first=False, reserved=0, text_prompt=(100, 101, 102), image_prompt=(103, 104, 105), end=(106,)
)
NAMES = ("tiny", "tiny-decoder", "distilbert", "qwen2.5-3b")


def backbone(name: str) -> tuple[PreTrainedModel, InputTemplate]:
    """Return a backbone and the template of its sequences; `name` is one of `NAMES` or a folder with weights."""
    from transformers import AutoModel, BertConfig, DistilBertConfig, Qwen2Config

    if name == "tiny":
        config = BertConfig(
            vocab_size=4096, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256
        )
        return AutoModel.from_config(config), InputTemplate()
    if name == "distilbert":
        return AutoModel.from_config(DistilBertConfig()), InputTemplate()
    if name == "tiny-decoder":
        small = {"vocab_size": 4096, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = Qwen2Config(**small, num_key_value_heads=2, intermediate_size=128, use_cache=False)
        return with_lora(AutoModel.from_config(config), rank=4), DECODER
    if name == "qwen2.5-3b":
        config = Qwen2Config(
            vocab_size=151_936,
            hidden_size=2048,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=2,
            intermediate_size=11_008,
            use_cache=False,
        )
        return with_lora(AutoModel.from_config(config, dtype=torch.bfloat16), rank=256), DECODER
    return AutoModel.from_pretrained(name, local_files_only=True), InputTemplate()


def with_lora(base: PreTrainedModel, *, rank: int) -> PreTrainedModel:
    """Freeze a decoder and add adapters to all its linear layers; they are float32 whatever the base is."""
    from peft import LoraConfig, get_peft_model

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model: PreTrainedModel = get_peft_model(
        base, LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, use_rslora=True)
    )
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return model
