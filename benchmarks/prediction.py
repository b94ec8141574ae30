"""Prediction of a file of queries: speed, and that memory does not grow with their number.

    python benchmarks/prediction.py data/06_models/demo/encoder_vision [--sizes 10000 50000 100000] [--images FOLDER]

Each size runs in a process of its own and prints queries per second, processor seconds and the peak resident memory
while it predicts.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def write_queries(file: Path, count: int, texts: list[str], images: list[str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "text", "images"])
        for number in range(count):
            picture = images[number % len(images)] if images else ""
            rows.writerow([f"q{number:07d}", f"{texts[number % len(texts)]} {number}", picture])


def measure(model: Path, count: int, images: Path | None, block_size: int) -> None:
    import torch

    from vixml import Predictor
    from vixml.core.directories import WorkDirectory
    from vixml.params.prediction import PredictionParams
    from vixml.serving.batch import predict_file
    from vixml.training.peak_memory import peak_memory, reset_peak_memory

    predictor = Predictor.open(model)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "queries.csv"
        pictures = sorted(p.relative_to(images).as_posix() for p in images.rglob("*.png")) if images else []
        write_queries(file, count, predictor.labels["text"].tolist(), pictures)
        params = PredictionParams(
            queries=str(file), block_size=block_size, images_root=None if images is None else str(images)
        )
        reset_peak_memory(torch.device("cpu"))  # what opening a model takes at its peak is another matter
        began = time.process_time()
        _, report = predict_file(predictor, params, WorkDirectory(Path(folder) / "work"))
        spent = time.process_time() - began
    peak = peak_memory(torch.device("cpu")) / 2**20
    found = {name: report[name] for name in ("queries", "predictions", "seconds", "queries_per_second")}
    print(json.dumps({**found, "cpu_seconds": round(spent, 1), "peak_MiB": round(peak)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000, 100_000])
    parser.add_argument("--images", type=Path, help="folder of PNG files that the queries show, one each")
    parser.add_argument("--block-size", type=int, default=2048)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.model, args.sizes[0], args.images, args.block_size)
        return
    for size in args.sizes:
        options = ["--block-size", str(args.block_size), *(["--images", str(args.images)] if args.images else [])]
        subprocess.run([sys.executable, __file__, str(args.model), "--one", "--sizes", str(size), *options], check=True)


if __name__ == "__main__":
    main()
