"""All that must be proved on a GPU, by one command: `make gpu-check`, some minutes on an H100.

    python -m benchmarks.gpu_check                # on the first CUDA device
    python -m benchmarks.gpu_check --quick        # tiny models, on the CPU where there is no card: does it all run?

Needs torch, transformers, peft, safetensors, numpy, scipy, pandas, pydantic and pytest; what needs more is left out and
says so. Writes `gpu-check.md` and `gpu-check.json`, and ends with 1 where a test failed. A target that is missed is no
failure: the table says NO.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.gpu import HEADER, Row, measure_all

LIBRARIES = ("torch", "transformers", "peft", "numpy", "scipy", "pandas", "pydantic", "pytest")


def main(words: list[str] | None = None) -> int:
    """Run tests and benchmarks, write both files, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny models; without a card on the CPU")
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"), help="folder of the results")
    options = parser.parse_args(words)
    if not torch.cuda.is_available() and not options.quick:
        print("There is no CUDA device here. `--quick` runs the same code on the CPU.", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # texts of many lengths leave holes that no later batch fits into
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    started = time.perf_counter()
    passed = run_tests(device)
    tested = time.perf_counter() - started
    rows = [Row(f"tests/gpu on {device}", f"{tested:.0f} s", "pass", passed)]
    print(rows[0], flush=True)
    rows += measure_all(device, quick=options.quick)
    rows.append(Row("all of it", f"{time.perf_counter() - started:.0f} s", "360 s"))
    write(options.out, rows)
    return 0 if passed else 1


def run_tests(device: torch.device) -> bool:
    """Run the tests of `tests/gpu` on a device, in a process of their own."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "pytest", "tests/gpu", "--noconftest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "VIXML_GPU_CHECK_DEVICE": device.type}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH")]))
    return subprocess.run(command, cwd=root, env=environment, check=False).returncode == 0


def write(folder: Path, rows: list[Row]) -> None:
    """Write the table and the same as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"python": platform.python_version(), **{name: installed(name) for name in LIBRARIES}}
    table = "\n".join([HEADER, *map(str, rows)])
    about = ", ".join(f"{name} {found}" for name, found in facts.items())
    (folder / "gpu-check.md").write_text(f"{table}\n\n{about}\n", encoding="utf-8")
    document = {"versions": facts, "rows": [asdict(row) for row in rows]}
    (folder / "gpu-check.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {folder / 'gpu-check.md'} and {folder / 'gpu-check.json'}")


def installed(name: str) -> str:
    """Return a library's version."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    sys.exit(main())
