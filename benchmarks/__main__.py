"""Run the benchmarks, one process each: `python -m benchmarks [--quick] [--only NAME] [--output FILE.md|.json]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import REPOSITORY, Row, table

NAMES = (
    "encoding",
    "attention",
    "batches",
    "clustering",
    "centroids",
    "search",
    "metrics",
    "tokens",
    "reading",
    "images",
    "gradient_cache",
    "classifier",
    "label_tree",
)
STEP = "train_step"  # no row: prints how a step divides


def main() -> int:
    """Run the benchmarks and print the table; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: seconds, to see that all work")
    parser.add_argument("--only", action="append", choices=(*NAMES, STEP), help="only this one; may be repeated")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="also write the table here, as .md or .json")
    parser.add_argument("--worker", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        rows = importlib.import_module(f"benchmarks.{args.worker}").run(quick=args.quick)
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    chosen = args.only or (*NAMES, STEP)
    results = {name: _in_subprocess(name, args.quick, args.threads) for name in chosen if name != STEP}
    rows = [row for found in results.values() for row in found or []]
    if rows:
        print(table(rows))
    divided = _step(args.quick, args.threads) if STEP in chosen else ""
    print(divided or "", end="")
    if args.output:
        text = json.dumps([asdict(row) for row in rows], indent=1) if args.output.suffix == ".json" else table(rows)
        args.output.write_text(text + "\n", encoding="utf-8")
    failed = [name for name, found in (*results.items(), (STEP, divided)) if found is None]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _in_subprocess(name: str, quick: bool, threads: int) -> list[Row] | None:
    """Run one benchmark by itself, so that its peak memory is its own."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks", "--worker", name, *(["--quick"] if quick else [])]
    done = _output(command, threads)
    if done.returncode:
        return None
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def _step(quick: bool, threads: int) -> str | None:
    """Return what `benchmarks.train_step` prints for the demo's encoder with images."""
    small = ["--batch", "16", "--steps", "2", "--labels", "500"] if quick else []
    done = _output([sys.executable, "-m", f"benchmarks.{STEP}", "--images", *small], threads)
    return None if done.returncode else done.stdout


def _output(command: list[str], threads: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    environment.setdefault("GOMP_SPINCOUNT", "20000")  # as vixml.settings has it
    return subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
