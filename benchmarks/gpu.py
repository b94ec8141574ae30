"""Training steps and encoding at the sizes of the paper's models: for a GPU, or `--quick` at tiny ones on anything.

    python -m benchmarks.gpu            # Qwen2.5-3B's, DistilBERT's and SigLIP2-so400m's architectures, random weights
    python -m benchmarks.gpu --quick

Each line says the time, its target, and for training steps which share of the card's own matrix rate the useful tokens
reach (no padding, no recomputation). Every measurement ends with the device's work done.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.train_step import arguments, make_trainer, matmul_rate, measure, synchronise
from vixml.models.precision import uses_bf16
from vixml.training.encode import embed_all
from vixml.training.loop import Trainer
from vixml.training.peak_memory import peak_memory

# backbone, batch, images, gradient cache, most seconds a step, least share of the matrix rate, most ms an encoded text
TEXT = {
    "qwen2.5-3b": (2048, True, True, 4.0, 0.45, 1.11 / 5),
    "distilbert": (2048, False, False, 0.06, 0.0, 0.034 / 5),
}
QUICK = {
    "tiny-decoder": (16, True, True, 60.0, 0.0, 1000.0),
    "tiny": (16, False, False, 60.0, 0.0, 1000.0),
}
VISION, IMAGES, MS_AN_IMAGE = "ViT-SO400M-16-SigLIP2-384", 128, 1.5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny models, to see that all works")
    parser.add_argument("--titles", type=Path, help=".json(.gz) lines with a `title`; else made-up lengths")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "the processor"
    rate = matmul_rate(device, bf16=uses_bf16("auto", device))
    print(f"on {card}: {rate / 1e12:.2f} TFLOP/s in a large matrix product")
    print("| what | measured | target | met |\n|---|---|---|---|")
    for name, (batch, images, cached, seconds, share, milliseconds) in (QUICK if options.quick else TEXT).items():
        words = ["--backbone", name, "--batch", str(batch), "--steps", "3", "--device", options.device]
        words += ["--images"] * images + ["--gradient-cache"] * cached
        words += ["--titles", str(options.titles)] if options.titles else []
        words += ["--labels", "500"] if options.quick else ["--labels", "131072", "--chunk-tokens", "32768"]
        step(name, words, device, rate, seconds, share, milliseconds)
    vision("tiny" if options.quick else VISION, 8 if options.quick else IMAGES, device)


def step(
    name: str, words: list[str], device: torch.device, rate: float, seconds: float, share: float, milliseconds: float
) -> None:
    """Measure a training step and the encoding of texts."""
    options = arguments(words)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work:
        trainer = make_trainer(options, device, Path(work))
        spent, flops = measure(trainer, options.steps, device)
        reached = flops / spent["step"] / rate
        what = f"{name}, a step of {options.batch} + {options.batch}, {peak_memory(device) / 2**30:.1f} GiB"
        met = spent["step"] <= seconds and reached >= share
        line(what, f"{spent['step']:.4f} s, {reached:.0%} of the rate", f"{seconds} s, {share:.0%}", met)
        each = encoding(trainer, device)
    line(f"{name}, encoding", f"{each:.4f} ms a text", f"{milliseconds:.4f} ms", each <= milliseconds)


def encoding(trainer: Trainer, device: torch.device) -> float:
    """Return the milliseconds a text takes to encode for inference."""
    source = trainer.data.queries
    precision = trainer.params.optim.precision
    for _ in range(2):  # the first one warms up
        synchronise(device)
        started = time.perf_counter()
        embed_all(trainer.state.model, source, precision=precision, desc="encode")
        synchronise(device)
    return 1000 * (time.perf_counter() - started) / len(source)


def vision(name: str, count: int, device: torch.device) -> None:
    """Measure a vision tower with random weights on images that are decoded already."""
    import open_clip

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
        for _ in range(3):
            synchronise(device)
            started = time.perf_counter()
            model.encode_image(images, normalize=False)
            synchronise(device)
    each = 1000 * (time.perf_counter() - started) / count
    line(f"{name}, encoding", f"{each:.3f} ms an image", f"{MS_AN_IMAGE} ms", each <= MS_AN_IMAGE)


def line(what: str, measured: str, target: str, met: bool) -> None:
    """Print a row of the table."""
    print(f"| {what} | {measured} | {target} | {'yes' if met else 'NO'} |", flush=True)


if __name__ == "__main__":
    main()
