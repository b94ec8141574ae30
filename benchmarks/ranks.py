"""Seconds of a training step in 1, 2, 4 processes, what they exchange, and how long they wait for each other.

    python -m benchmarks.ranks --backbone tiny --batch 256 --images
    python -m benchmarks.ranks --processes 1 --processes 8 --backbone qwen2.5-3b --batch 2048   # on GPUs

All other options are those of `benchmarks.train_step`. Every rank embeds its share of the chunks. Bytes are what a step
gives to torch's collectives, waiting is the share of the step inside of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.train_step import arguments, make_trainer, synchronise
from vixml.distributed import group
from vixml.distributed.launch import Machines, launch
from vixml.distributed.rank import joined

_UNTIMED = 3


def main() -> None:
    """Launch the ranks of each row, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ranks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, action="append", help="may be repeated; default 1, 2, 4")
    options, others = parser.parse_known_args()
    arguments(others)  # wrong ones are said here, not in a rank
    print("| processes | seconds a step | speed-up | MB exchanged a step | share of it waiting or exchanging |")
    print("|---|---|---|---|---|")
    alone = None
    for processes in options.processes or [1, 2, 4]:
        with tempfile.TemporaryDirectory() as folder:
            launch("benchmarks.ranks", ["--rank", folder, *others], folder=Path(folder), machines=Machines(processes))
            found = [json.loads(file.read_text()) for file in Path(folder).glob("measured-*.json")]
        step = max(one["step"] for one in found)
        alone = step if alone is None else alone
        share = sum(one["exchange"] / one["step"] for one in found) / len(found)
        print(
            f"| {processes} | {step:.3f} | {alone / step:.2f} | {found[0]['bytes'] / 1e6:.1f} | {100 * share:.0f} % |"
        )


def measure(folder: Path, words: list[str]) -> None:
    """Take the steps as one of the ranks; write down what they took."""
    options = arguments(words)
    with joined(folder):
        torch.manual_seed(0)
        device = torch.device(options.device)
        trainer = make_trainer(options, device, folder / f"work-{group.rank()}")
        batches = trainer.batches()
        for rows in batches[:_UNTIMED]:
            trainer.step.learn(trainer.state, rows)
        spent = {"bytes": 0.0, "exchange": 0.0}
        reduce = dist.all_reduce

        def counted(tensor: torch.Tensor, *values: Any, **named: Any) -> Any:
            synchronise(device)
            started = time.perf_counter()
            result = reduce(tensor, *values, **named)
            synchronise(device)
            spent["exchange"] += time.perf_counter() - started
            spent["bytes"] += tensor.nbytes
            return result

        dist.all_reduce = counted
        synchronise(device)
        started = time.perf_counter()
        for rows in batches[_UNTIMED : _UNTIMED + options.steps]:
            trainer.step.learn(trainer.state, rows)
        synchronise(device)
        dist.all_reduce = reduce
        spent["step"] = time.perf_counter() - started
        record = {name: value / options.steps for name, value in spent.items()}
        (folder / f"measured-{group.rank()}.json").write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        measure(Path(sys.argv[2]), sys.argv[3:])
    else:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
        main()
