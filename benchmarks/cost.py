"""What a published run takes on one GPU, estimated, not measured: the hours and gigabytes of docs/how-to/reproduce.md.

Hours: floating point operations at the rate that the paper's own longest run implies (`RATE`), every sequence taken at
its full length. A trained weight costs 6 operations a token (2 forward, 4 backward); a frozen one below adapters 4, and
with recomputed activations (gradient checkpointing) or gradient caching 2 more each.

Memory: frozen weights in bfloat16; trained ones in float32 with gradient and two moments; free vectors; centroids in
float16; activations of a whole batch (both sides): 34 bytes a position, layer and width in 16-bit arithmetic with all
kept (Korthikanti et al., 2022, without attention matrices), or the 4 bytes of a layer's input where the rest is
recomputed; of one chunk where gradients are cached. Image and embedding banks lie in main memory.

`python -m benchmarks.cost` compares the operations with those that torch counts in a step of small networks of the same
kinds, on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vixml.params.variant import VariantParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RATE = 2.4e14
"""Operations a second: 40 epochs of Qwen2.5-3B with images on LF-AmazonTitles-1.3M in 178 hours, rounded."""

_PROMPT_TEXT, _PROMPT_IMAGE = 4, 3  # tokens of "This product text" with the end token, and of "and its image"
_KEPT, _RECOMPUTED = 34, 4  # bytes of activations a position, layer and width


@dataclass(frozen=True)
class Network:
    """A checkpoint, as its published configuration says.

    Args:
        weights: All of the headless network.
        blocks: Those outside of the embeddings.
        layers: Transformer layers.
        width: Of the embeddings.
        adapters: Weights of adapters of rank 256 on all linear layers.
    """

    weights: float
    blocks: float
    layers: int
    width: int
    adapters: float = 0.0


NETWORKS = {
    "sentence-transformers/paraphrase-MiniLM-L3-v2": Network(17.4e6, 5.3e6, 3, 384),
    "sentence-transformers/msmarco-distilbert-base-v4": Network(66.4e6, 42.5e6, 6, 768),
    "intfloat/e5-base-v2": Network(109e6, 85e6, 12, 768),
    "Qwen/Qwen2.5-0.5B-Instruct": Network(0.494e9, 0.358e9, 24, 896, 0.141e9),
    "Qwen/Qwen2.5-3B-Instruct": Network(3.09e9, 2.77e9, 36, 2048, 0.479e9),
    "Qwen/Qwen2.5-7B-Instruct": Network(7.07e9, 6.53e9, 28, 3584, 0.646e9),
}


@dataclass(frozen=True)
class Cost:
    """Estimate of one training.

    Args:
        hours: On one GPU that does `RATE` operations a second.
        gigabytes: Of that GPU's memory, every sequence at its full length.
    """

    hours: float
    gigabytes: float


def operations_a_token(frozen: float, trained: float, *, again: int) -> float:
    """Return the operations of a training step for each token: 2 a weight forward, 2 back, 2 for its own gradient.

    Args:
        frozen: Weights that are not trained, below trained ones.
        trained: Weights that are.
        again: Further forward passes.
    """
    return (4 + 2 * again) * frozen + (6 + 2 * again) * trained


def cost(params: VariantParams, num_queries: int, num_labels: int) -> Cost:
    """Estimate the cost of training a variant.

    Args:
        params: The variant.
        num_queries: Training queries.
        num_labels: Labels.

    Raises:
        KeyError: The facts of its checkpoint are not known here.
    """
    backbone, network = params.backbone, NETWORKS[params.backbone.name]
    decoder, images = backbone.family == "decoder", params.model.max_images if params.model.use_images else 0
    words = (_PROMPT_TEXT + (_PROMPT_IMAGE if images else 0)) if decoder else 0
    positions = 2 * params.batching.batch_size * (backbone.max_length + words + images)
    cached = params.batching.gradient_cache
    again = backbone.gradient_checkpointing + cached
    if backbone.lora is None:
        operations, trained = operations_a_token(0, network.blocks, again=again), network.weights
    else:
        operations = operations_a_token(network.blocks, network.adapters, again=again)
        trained = network.adapters
    steps = params.training.epochs * math.ceil(num_queries / params.batching.batch_size)
    kept = _RECOMPUTED if backbone.gradient_checkpointing else _KEPT
    frozen = 0 if backbone.lora is None else network.weights
    memory = 2 * frozen + 16 * trained + 16 * params.model.prototype.free_vectors * network.width
    held = min(positions, params.batching.chunk_tokens) if cached else positions
    memory += 2 * num_labels * network.width + kept * held * network.layers * network.width
    return Cost(steps * positions * operations / RATE / 3600, memory / 1e9)


def counted(network: PreTrainedModel) -> tuple[float, float]:
    """Return the operations a token of a step of `network` that torch counts, and those that are estimated for it.

    Short sequences, so that attention hardly counts, as with titles; gradients go to the inputs, as with images.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.train_step import linear_layers

    items, length = 4, 16
    inputs = torch.randn(items, length, network.config.hidden_size, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        network.train()(inputs_embeds=inputs).last_hidden_state.sum().backward()
    sizes = {True: 0, False: 0}
    for layer in linear_layers(network):
        sizes[layer.weight.requires_grad] += layer.weight.numel()
    again = int(getattr(network, "is_gradient_checkpointing", False))
    return counter.get_total_flops() / (items * length), operations_a_token(sizes[False], sizes[True], again=again)


def examples() -> dict[str, PreTrainedModel]:
    """Return small networks of the kinds that are estimated."""
    import torch
    from transformers import AutoModel, BertConfig, Qwen2Config

    from benchmarks.architectures import with_lora

    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    qwen = Qwen2Config(**size, num_key_value_heads=2, intermediate_size=1376, use_cache=False)
    networks = {
        "encoder": AutoModel.from_config(BertConfig(**size, intermediate_size=1024)),
        "decoder with LoRA": with_lora(AutoModel.from_config(qwen), rank=32),
        "decoder with LoRA, activations made again": with_lora(AutoModel.from_config(qwen), rank=32),
    }
    networks["encoder"].pooler = None
    networks["decoder with LoRA, activations made again"].gradient_checkpointing_enable()
    return networks


if __name__ == "__main__":
    print("| network | counted, million operations a token | estimated | ratio |\n|---|---|---|---|")
    for name, network in examples().items():
        found, estimated = counted(network)
        print(f"| {name} | {found / 1e6:.2f} | {estimated / 1e6:.2f} | {estimated / found:.2f} |")
