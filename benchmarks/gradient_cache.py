"""Gradient caching: peak memory, time and gradients of one step's network passes over growing pools, against one batch.

Every pool is measured in a process of its own, so that one peak does not hide another.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from benchmarks.harness import Row

if TYPE_CHECKING:
    from vixml.models.dual import DualModel

SIZE = {"vocab_size": 30_522, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
QUICK = {"vocab_size": 30_522, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def run(*, quick: bool) -> list[Row]:
    """Compare the gradients of a small pool, then measure a pool and one four times as large."""
    small, large = (96, 192) if quick else (512, 2048)
    size = QUICK if quick else SIZE
    (_, few), (plain, many) = ([_measured(size, pool, cached) for cached in (False, True)] for pool in (small, large))
    worst = _difference_of_gradients(size)
    assert worst < 1e-5, f"gradients differ by {worst:.1e}"
    sizes = f"{many['mib']:.0f} MiB, as one batch {plain['mib']:.0f}; pool of {small:,}: {few['mib']:.0f}"
    flat = many["mib"] < 1.25 * few["mib"] + 32
    return [
        Row(
            "gradient caching",
            f"pool of {large:,}: {sizes}",
            many["seconds"], "one batch", plain["seconds"], int(many["peak"]),
            "one batch and a forward pass more", plain["seconds"] * 4 / 3, "gradients 1e-5, memory of any pool", flat,
        )
    ]  # fmt: skip


def _measured(size: Mapping[str, int], pool: int, cached: bool) -> dict[str, float]:
    """Measure a pool in a process of its own, forked before torch has started a thread: it need not import again."""
    from transformers.models.bert.modeling_bert import BertModel  # noqa: F401

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(size, pool, cached, sender))
    process.start()
    sender.close()
    found: dict[str, float] = receiver.recv()
    process.join()
    return found


def _model(size: Mapping[str, int], dropout: float) -> DualModel:
    import torch
    from transformers import AutoModel, BertConfig

    from vixml.models.dual import DualModel
    from vixml.models.embedder import Embedder
    from vixml.models.label_side import LabelSide

    torch.manual_seed(0)
    chances = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    network = AutoModel.from_config(BertConfig(**size, **chances, intermediate_size=4 * size["hidden_size"]))
    return DualModel(Embedder(network, image_dim=None, chunk_tokens=2048), LabelSide(8)).train()


def _step(model: DualModel, items: int, *, cached: bool) -> None:
    """Embed `items` titles and go backward."""
    import numpy as np

    from vixml.data.ragged import RaggedArray, offsets_of
    from vixml.models.chunked import ChunkedEmbeddings
    from vixml.models.item_batch import ItemBatch

    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 32, items)
    batch = ItemBatch(RaggedArray(rng.integers(0, 30_000, lengths.sum()), offsets_of(lengths)))
    embedded = ChunkedEmbeddings(model, batch, precision="fp32", stream=lambda chunk: chunk, cached=cached)
    embedded.embeddings[:, 0].sum().backward()
    embedded.backward()


def _difference_of_gradients(size: Mapping[str, int]) -> float:
    """Return how far cached gradients are from those of one batch, in parts of each weight's largest; no dropout."""
    gradients = []
    for cached in (False, True):
        model = _model(size, 0.0)
        _step(model, 256, cached=cached)
        gradients.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    scales = [float(gradient.abs().max()) for gradient in gradients[0]]
    least = 1e-3 * max(scales)  # some gradients are zero but for rounding: those of the biases of keys
    pairs = zip(*gradients, scales, strict=True)
    return max(float((one - other).abs().max()) / max(scale, least) for one, other, scale in pairs)


def _measure(size: Mapping[str, int], pool: int, cached: bool, sender: Connection) -> None:
    """Send the growth of the peak in MiB, the peak in bytes, and the seconds of one pool."""
    import torch

    from vixml.training.peak_memory import peak_memory, reset_peak_memory

    model, cpu = _model(size, 0.1), torch.device("cpu")
    _step(model, 128, cached=True)  # gradients and scratch memory that every step needs
    reset_peak_memory(cpu)
    before, started = peak_memory(cpu), time.perf_counter()
    _step(model, pool, cached=cached)
    seconds, peak = time.perf_counter() - started, peak_memory(cpu)
    sender.send({"mib": (peak - before) / 2**20, "peak": peak, "seconds": seconds})
