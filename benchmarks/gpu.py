"""Training steps, encoding, search and clustering at the sizes of the paper: for a GPU, or `--quick` on anything.

    python -m benchmarks.gpu            # Qwen2.5-3B's, DistilBERT's and SigLIP2-so400m's architectures, random weights
    python -m benchmarks.gpu --quick

Each line says the time, its target, and for training steps which share of the card's own matrix rate the useful tokens
reach (no padding, no recomputation). Every measurement ends with the device's work done.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.train_step import arguments, make_trainer, matmul_rate, measure, synchronise
from vixml.models.precision import uses_bf16
from vixml.params.retrieval import RetrievalParams
from vixml.retrieval.clustering import balanced_clusters
from vixml.retrieval.index import build_index
from vixml.training.encode import embed_all
from vixml.training.loop import Trainer
from vixml.training.peak_memory import peak_memory, reset_peak_memory

# backbone, batch, images, checkpointing, most seconds a step, least share of the matrix rate, most ms an encoded text
TEXT = {
    "qwen2.5-3b": (2048, True, True, 4.0, 0.45, 0.22),
    "distilbert": (2048, False, False, 0.06, 0.0, 0.007),
}
QUICK = {
    "tiny-decoder": (16, True, True, 60.0, 0.0, 1000.0),
    "tiny": (16, False, False, 60.0, 0.0, 1000.0),
}
VISION, IMAGES, MS_AN_IMAGE = "ViT-SO400M-16-SigLIP2-384", 128, 1.5
LABELS, QUERIES, WIDTH, SECONDS_A_SEARCH, SECONDS_A_CLUSTERING = 1_300_000, 100_000, 768, 10.0, 20.0
KERNELS = 10


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: What was measured.
        measured: The figure, with its unit.
        target: What it should reach; empty for none.
        met: Whether it does; None where there is nothing to compare.
    """

    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        met = "" if self.met is None else "yes" if self.met else "NO"
        return f"| {self.what} | {self.measured} | {self.target} | {met} |"


HEADER = "| what | measured | target | met |\n|---|---|---|---|"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny models, to see that all works")
    parser.add_argument("--titles", type=Path, help=".json(.gz) lines with a `title`; else made-up lengths")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    measure_all(torch.device(options.device), quick=options.quick, titles=options.titles)


def measure_all(device: torch.device, *, quick: bool, titles: Path | None = None) -> list[Row]:
    """Measure everything on a device, print each row as it is there, and return them."""
    rows: list[Row] = []

    def add(found: list[Row]) -> None:
        rows.extend(found)
        print("\n".join(map(str, found)), flush=True)

    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    rate = matmul_rate(device, bf16=uses_bf16("auto", device))
    print(HEADER)
    add([Row(f"{card}, torch {torch.__version__}: a large matrix product", f"{rate / 1e12:.2f} TFLOP/s")])
    for name, (batch, images, checkpointing, *targets) in (QUICK if quick else TEXT).items():
        words = ["--backbone", name, "--batch", str(batch), "--steps", "3", "--device", str(device)]
        words += ["--images"] * images + ["--checkpointing"] * checkpointing
        words += ["--titles", str(titles)] if titles else []
        words += ["--labels", "500"] if quick else ["--labels", "131072", "--chunk-tokens", "32768"]
        add(step(name, words, device, rate, *targets))
    add(vision("tiny" if quick else VISION, 8 if quick else IMAGES, device))
    add(search(device, *((3000, 200, 32) if quick else (LABELS, QUERIES, WIDTH))))
    add(clustering(device, *((3000, 32) if quick else (LABELS, WIDTH))))
    return rows


def step(
    name: str, words: list[str], device: torch.device, rate: float, seconds: float, share: float, milliseconds: float
) -> list[Row]:
    """Measure a training step, the encoding of texts, and which kernels a step spends its time in."""
    options = arguments(words)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work:
        trainer = make_trainer(options, device, Path(work))
        spent, flops = measure(trainer, options.steps, device)
        reached = flops / spent["step"] / rate
        what = f"{name}, a step of {options.batch} + {options.batch}, {peak_memory(device) / 2**30:.1f} GiB"
        met = spent["step"] <= seconds and reached >= share
        rows = [Row(what, f"{spent['step']:.4f} s, {reached:.0%} of the rate", f"{seconds} s, {share:.0%}", met)]
        rows += kernels(name, trainer, device)
        each = encoding(trainer, device)
    return [*rows, Row(f"{name}, encoding", f"{each:.4f} ms a text", f"{milliseconds} ms", each <= milliseconds)]


def kernels(name: str, trainer: Trainer, device: torch.device) -> list[Row]:
    """Profile one step: the dearest kernels (operators on a CPU), and how long the device had nothing to do."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    rows = trainer.batches()[0]
    synchronise(device)
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu) as seen:
        started = time.perf_counter()
        trainer.step.learn(trainer.state, rows)
        synchronise(device)
        wall = 1e6 * (time.perf_counter() - started)
    spent = {
        event.key: (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count)
        for event in seen.key_averages()
    }
    busy = sum(value for value, _ in spent.values())
    dearest = sorted(spent.items(), key=lambda entry: -entry[1][0])[:KERNELS]
    found = [
        Row(f"{name}, {key[:60].replace('|', ' ')}", f"{value / 1000:.2f} ms in {count} calls, {value / wall:.0%}")
        for key, (value, count) in dearest
    ]
    return [*found, Row(f"{name}, gaps in a profiled step", f"{max(0.0, 1 - busy / wall):.0%} of {wall / 1e6:.3f} s")]


def encoding(trainer: Trainer, device: torch.device) -> float:
    """Return the milliseconds a text takes to encode for inference."""
    source = trainer.data.queries
    precision = trainer.params.optim.precision
    seconds = last_of(2, device, lambda: embed_all(trainer.state.model, source, precision=precision, desc="encode"))
    return 1000 * seconds / len(source)


def last_of(count: int, device: torch.device, work: Callable[[], Any]) -> float:
    """Return the seconds of the last of some runs; the ones before it warm up."""
    for _ in range(count):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
    return time.perf_counter() - started


def vision(name: str, count: int, device: torch.device) -> list[Row]:
    """Measure a vision tower with random weights on images that are decoded already."""
    try:
        import open_clip
    except ImportError:
        return [Row(f"{name}, encoding", "not measured: open_clip is not installed", f"{MS_AN_IMAGE} ms")]

    from vixml.images.vision import load_vision
    from vixml.params.data.vision import VisionParams

    if name == "tiny":
        tower = load_vision(VisionParams(model="tiny", device=str(device)), 0)
        model, size = tower.model, tower.preprocess.transforms[0].size
    else:
        model = open_clip.create_model(name, pretrained=None)
        size = model.visual.image_size
        del model.text
        model = model.to(device).eval()
    images = torch.randn(count, 3, *((size, size) if isinstance(size, int) else size), device=device)
    on_gpu = device.type == "cuda"
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=on_gpu):
        each = 1000 * last_of(3, device, lambda: model.encode_image(images, normalize=False)) / count
    return [Row(f"{name}, encoding", f"{each:.3f} ms an image", f"{MS_AN_IMAGE} ms", each <= MS_AN_IMAGE)]


def search(device: torch.device, num_labels: int, num_queries: int, width: int) -> list[Row]:
    """Measure exact top-100: the labels on their way to the device, and a search with them there."""
    rng = np.random.default_rng(0)
    queries, labels = (rng.standard_normal((n, width), dtype=np.float32) for n in (num_queries, num_labels))
    reset_peak_memory(device)
    index = build_index(labels, RetrievalParams(), device=str(device))
    first = last_of(1, device, lambda: index.search(queries[:2048], 100))
    seconds = last_of(1, device, lambda: index.search(queries, 100))
    gigabytes = peak_memory(device) / 2**30
    what = f"exact top-100 of {num_queries:,} queries in {num_labels:,} x {width}, {gigabytes:.1f} GiB"
    measured = f"{seconds:.2f} s (the first 2,048: {first:.2f} s)"
    return [Row(what, measured, f"{SECONDS_A_SEARCH} s", seconds <= SECONDS_A_SEARCH)]


def clustering(device: torch.device, num_points: int, width: int) -> list[Row]:
    """Measure balanced clustering into clusters of 2 ** 10 (of 16 for few points)."""
    points = torch.randn(num_points, width, generator=torch.Generator().manual_seed(0))
    points = torch.nn.functional.normalize(points, dim=1).to(device)
    size = 1024 if num_points > 100_000 else 16
    reset_peak_memory(device)

    def work() -> None:
        list(balanced_clusters(points, size=size, generator=torch.Generator().manual_seed(0)))

    seconds = last_of(1, device, work)
    what = f"clusters of {size} from {num_points:,} x {width}, {peak_memory(device) / 2**30:.1f} GiB"
    return [Row(what, f"{seconds:.2f} s", f"{SECONDS_A_CLUSTERING} s", seconds <= SECONDS_A_CLUSTERING)]


if __name__ == "__main__":
    main()
