"""Where a training step's time goes, and how much of the machine's matrix rate it reaches.

    python -m benchmarks.train_step --batch 256 --steps 10 --images
    python -m benchmarks.train_step --backbone qwen2.5-3b --batch 2048 --checkpointing   # on a GPU

The real `TrainingStep` runs; every part is timed by wrapping its method, with a device synchronisation before
and after. Utilisation counts useful tokens only (no padding, no recomputation), against the rate of a large matrix
product measured in the same run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from benchmarks.architectures import NAMES, backbone
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.label_side import make_label_side
from vixml.models.precision import to_device, uses_bf16
from vixml.params.model import PrototypeParams
from vixml.params.variant import VariantParams
from vixml.training.checkpoint import save_checkpoint
from vixml.training.encode import validate
from vixml.training.loop import Trainer
from vixml.training.training_data import ItemSource, TrainingData, Validation

PARTS = {
    "data": "gather",
    "forward": "_embed",
    "prototypes": "_split",
    "loss": "_loss",
    "backward": "_backward",
    "optimiser": "_update_weights",
    "bank": "_remember",
}
IMAGE_DIM, LABELS_A_QUERY = 1152, 2
CURVE, LOOK = 6_000, 3.0  # records of 300 epochs; seconds between two looks at a curve (`BackgroundSender`)


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.manual_seed(0)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as work:
        trainer = make_trainer(options, device, Path(work))
        seconds, flops = measure(trainer, options.steps, device)
        rate = matmul_rate(device, bf16=uses_bf16(options.precision, device))
        report(options, seconds, flops, rate)
        around(trainer, seconds["step"], device)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `words`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny", help=f"{', '.join(NAMES)} (random weights), or a folder")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--images", action="store_true", help="up to three images an item")
    parser.add_argument("--labels", type=int, default=20_000)
    parser.add_argument("--chunk-tokens", type=int, default=8192)
    parser.add_argument("--gradient-cache", action="store_true")
    parser.add_argument("--checkpointing", action="store_true", help="activations are made again in the backward pass")
    parser.add_argument("--titles", type=Path, help=".json(.gz) lines with a `title`; else made-up lengths")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(words)


def make_trainer(options: argparse.Namespace, device: torch.device, work: Path) -> Trainer:
    """A trainer over made-up tokens of real lengths, with one epoch of `steps` batches and three to warm up."""
    rng = np.random.default_rng(0)
    count = options.batch * (options.steps + 3)
    model = to_device(make_model(options), device, options.precision)
    vocabulary = model.embedder.backbone.get_input_embeddings().num_embeddings
    vectors = rng.standard_normal((4096, IMAGE_DIM)).astype(np.float16) if options.images else None
    lengths = title_lengths(options.titles, rng)

    def source(items: int) -> ItemSource:
        drawn = rng.choice(lengths, items)
        tokens = RaggedArray(rng.integers(0, vocabulary, drawn.sum()), offsets_of(drawn))
        if vectors is None:
            return ItemSource(tokens)
        images = rng.integers(0, 4, items)
        return ItemSource(tokens, RaggedArray(rng.integers(0, len(vectors), images.sum()), offsets_of(images)), vectors)

    columns = rng.integers(0, options.labels, (count, LABELS_A_QUERY)).ravel()
    rows = np.repeat(np.arange(count), LABELS_A_QUERY)
    relevance = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(count, options.labels))
    relevance.data[:] = 1
    held_out = sp.csr_matrix(relevance[: options.batch])
    weights = np.ones(options.labels)
    queries, labels = source(count), source(options.labels)
    validation = Validation(source(options.batch), held_out, sp.csr_matrix(held_out.shape, dtype=np.float32), weights)
    params = VariantParams(
        batching={"batch_size": options.batch, "start_epoch": 1, "gradient_cache": options.gradient_cache},
        optim={"precision": options.precision},
        training={"epochs": 1, "device": options.device},
    )
    inputs = TrainingData(queries, labels, relevance, weights, validation)
    trainer = Trainer(model.train(), inputs, params, seed=0, work=work, identity={})
    trainer.state.optimiser.zero_grad()
    return trainer


def make_model(options: argparse.Namespace) -> DualModel:
    """The network: a folder's weights, or random ones of a known architecture."""
    network, template = backbone(options.backbone)
    if options.checkpointing:
        network.gradient_checkpointing_enable()
    embedder = Embedder(
        network,
        image_dim=IMAGE_DIM if options.images else None,
        template=template,
        chunk_tokens=options.chunk_tokens,
    )
    return DualModel(embedder, make_label_side("prototype", embedder.dim, PrototypeParams(), num_labels=options.labels))


def title_lengths(file: Path | None, rng: np.random.Generator) -> np.ndarray:
    """Token counts of real titles (about 1.35 tokens a word and two special ones), at most 32; else made-up ones."""
    if file is None:
        return np.clip(rng.lognormal(2.6, 0.45, 20_000).astype(np.int64), 4, 32)
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
        words = [len(json.loads(line)["title"].split()) for _, line in zip(range(20_000), lines, strict=False)]
    return np.clip(2 + np.round(1.35 * np.array(words)).astype(np.int64), 3, 32)


def measure(trainer: Trainer, steps: int, device: torch.device) -> tuple[dict[str, float], float]:
    """Return the mean seconds of a step and of its parts, and the mean useful operations of a step."""
    spent: dict[str, float] = defaultdict(float)
    tokens = 0

    def timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*values: Any) -> Any:
            synchronise(device)
            started = time.perf_counter()
            result = method(*values)
            synchronise(device)
            spent[name] += time.perf_counter() - started
            return result

        return wrapped

    batches = trainer.batches()
    for rows in batches[:3]:
        trainer.step.learn(trainer.state, rows)
    for name, method in PARTS.items():
        setattr(trainer.step, method, timed(name, getattr(trainer.step, method)))
    gather = trainer.step.gather

    def counted(state: Any, rows: Any) -> Any:
        nonlocal tokens
        found = gather(state, rows)
        tokens += int(trainer.state.model.embedder.pack(found.items).offsets[-1])
        return found

    trainer.step.gather = counted  # type: ignore[method-assign]
    synchronise(device)
    started = time.perf_counter()
    for rows in batches[3 : 3 + steps]:
        terms = trainer.step.learn(trainer.state, rows)
        trainer.state.epoch_means.add(terms)
    synchronise(device)
    spent["step"] = time.perf_counter() - started
    linear = linear_layers(trainer.state.model.embedder.backbone)
    # forward, gradient of the inputs, gradient of the weights where they are trained: 2 operations a weight and token
    flops_a_token = sum(m.weight.numel() * 2 * (3 if m.weight.requires_grad else 2) for m in linear)
    return {name: value / steps for name, value in spent.items()}, flops_a_token * tokens / steps


def linear_layers(model: torch.nn.Module) -> list[torch.nn.Linear]:
    """Return the linear layers of a network, adapters among them, each once.

    An adapter's wrapper is called `Linear` too and shows its base layer's weight as its own.
    """
    return [module for module in model.modules() if type(module) is torch.nn.Linear]


def matmul_rate(device: torch.device, *, bf16: bool) -> float:
    """Return operations a second of a large square matrix product, the best of five."""
    size = 8192 if device.type == "cuda" else 1024
    left = torch.randn(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    best = float("inf")
    for _ in range(6):
        synchronise(device)
        started = time.perf_counter()
        left @ left
        synchronise(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def report(options: argparse.Namespace, seconds: dict[str, float], flops: float, rate: float) -> None:
    """Print the split of a step."""
    step = seconds["step"]
    other = step - sum(seconds[name] for name in PARTS)
    print(f"{options.backbone}, batch {options.batch}, images {options.images}, {options.device}: {step:.4f} s a step")
    for name in [*PARTS, "logging and rest"]:
        value = seconds.get(name, other)
        print(f"  {name:<18}{value:9.4f} s {100 * value / step:6.1f} %")
    print(f"  matrix rate {rate / 1e12:.3f} TFLOP/s, useful {flops / 1e12:.4f} TFLOP a step,", end=" ")
    print(f"utilisation {100 * flops / step / rate:.1f} %")


def around(trainer: Trainer, step: float, device: torch.device) -> None:
    """Print what happens between steps: a checkpoint, a record of the curve, a validation."""

    def seconds(work: Callable[[], Any]) -> float:
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        return time.perf_counter() - started

    training = trainer.params.training
    saving = seconds(lambda: save_checkpoint(trainer.state, trainer.checkpoints, keep=training.keep_checkpoints))
    logging = seconds(lambda: trainer.curve.log(step=1, epoch=1, **trainer.state.epoch_means.take()))
    data = trainer.data.validation
    assert data is not None
    precision = trainer.params.optim.precision
    checking = seconds(lambda: validate(trainer.state.model, trainer.data.labels, data, precision=precision))
    period = 60 * training.checkpoint_minutes
    print(f"  a checkpoint takes {saving:.2f} s: {100 * saving / period:.2f} % at one every {period:.0f} s")
    print(f"  a record of the curve takes {1000 * logging:.2f} ms: {100 * logging / step:.2f} % of a step, if at each")
    print(f"  a validation takes {checking:.2f} s, as long as {checking / step:.1f} steps")
    telling = tracking()
    print(
        f"  MLflow hears of a record in {1000 * telling:.0f} ms of processor time of another thread (SQLite;", end=" "
    )
    print(f"{CURVE:,} records before it): {100 * telling / LOOK:.1f} % of it, at a look every {LOOK:.0f} s")


def tracking() -> float:
    """Return the processor seconds in which a record behind a long training's curve is read and logged to MLflow."""
    from vixml.tracking.curve_uploader import CurveUploader
    from vixml.tracking.store import Store

    with tempfile.TemporaryDirectory() as folder:
        curve = Path(folder) / "curve.jsonl"
        record = {"epoch": 1, "batch/loss": 0.1, "batch/queries_per_second": 900.0, "batch/violations": 0.2, "lr": 1e-4}
        curve.write_text("".join(json.dumps({"step": n, **record}) + "\n" for n in range(CURVE)), encoding="utf-8")
        store = Store(f"sqlite:///{folder}/mlflow.db", "benchmark")
        run = store.client.create_run(store.experiment_id).info.run_id
        told = []

        def tell(points: list[tuple[str, float, int]]) -> None:
            store.add_metrics(run, points)
            told.extend(points)

        uploader = CurveUploader(curve, tell)
        uploader.poll()
        spent = []
        for n in range(CURVE, CURVE + 5):
            with curve.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": n, **record}) + "\n")
            started = time.thread_time()
            uploader.poll()
            spent.append(time.thread_time() - started)
        assert len(told) == 4 * (CURVE + len(spent)), "not every record arrived"
        return min(spent)


def synchronise(device: torch.device) -> None:
    """Wait for the GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
