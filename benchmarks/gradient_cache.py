"""Peak memory and time of one step's network passes over growing pools, with and without gradient caching.

    python -m benchmarks.gradient_cache [--quick]

Every row is measured in a process of its own, so that one peak does not hide another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

POOLS = (512, 1024, 2048, 4096)
SIZE = {"vocab_size": 30_522, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}


def one(pool: int, *, cached: bool) -> dict[str, float]:
    """Embed `pool` items and go backward; return the growth of the peak resident memory in MiB, and seconds."""
    import numpy as np
    import torch
    from transformers import AutoModel, BertConfig

    from vixml.data.ragged import RaggedArray, offsets_of
    from vixml.models.dual import DualModel
    from vixml.models.embedder import Embedder
    from vixml.models.label_side import LabelSide
    from vixml.models.sequence import ItemBatch
    from vixml.training.gradient_cache import CachedEmbeddings
    from vixml.training.memory import peak_memory, reset_peak_memory

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    embedder = Embedder(
        AutoModel.from_config(BertConfig(**SIZE, intermediate_size=1024)), image_dim=None, chunk_tokens=2048
    )
    model = DualModel(embedder, LabelSide(8)).train()

    def step(items: int, *, cached: bool) -> None:
        lengths = rng.integers(6, 32, items)
        batch = ItemBatch(RaggedArray(rng.integers(0, 30_000, lengths.sum()), offsets_of(lengths)))
        if not cached:
            model.embed(batch)[:, 0].sum().backward()
            return
        cache = CachedEmbeddings(model, batch, precision="fp32")
        cache.embeddings[:, 0].sum().backward()
        cache.backward()

    step(128, cached=True)  # gradients and scratch memory that every step needs
    reset_peak_memory(torch.device("cpu"))
    before, started = peak_memory(torch.device("cpu")), time.perf_counter()
    step(pool, cached=cached)
    seconds = time.perf_counter() - started
    return {"mib": (peak_memory(torch.device("cpu")) - before) / 2**20, "seconds": seconds}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small pools only")
    parser.add_argument("--one", nargs=2, metavar=("POOL", "CACHED"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(int(options.one[0]), cached=options.one[1] == "1")))
        return
    print(f"{'pool':>6} {'plain MiB':>10} {'cached MiB':>11} {'plain s':>8} {'cached s':>9}")
    for pool in POOLS[:2] if options.quick else POOLS:
        plain, cached = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.gradient_cache", "--one", str(pool), flag],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
            for flag in "01"
        )
        print(
            f"{pool:>6} {plain['mib']:>10.0f} {cached['mib']:>11.0f} {plain['seconds']:>8.2f} {cached['seconds']:>9.2f}"
        )


if __name__ == "__main__":
    main()
