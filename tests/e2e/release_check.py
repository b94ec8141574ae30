"""Build the package, install it where the project is not, and do there what a user does: `make release-check`.

    python tests/e2e/release_check.py [--folder FOLDER] [--keep]

Wheel, source distribution and configuration are built and checked; the wheel is installed into an empty environment in
another folder; the demo runs there, small, with the packaged configuration; its model is opened and served.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {
    "fabrication.num_train": 150,
    "fabrication.num_test": 40,
    "fabrication.num_labels": 60,
    "fabrication.image_pixels": 32,
    "vision.tiny_image_size": 32,
    "encoder.training.epochs": 2,
    "decoder.training.epochs": 2,
    "comparison.bootstrap_samples": 100,
}
ASK = """
from vixml import Predictor
(answer,) = Predictor.open("data/06_models/demo/encoder_vision").predict(["red vase"], k=3)
assert len(answer.label_ids) == 3
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a release; the exit code is 0 where all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="an empty folder elsewhere; a temporary one by default")
    parser.add_argument("--keep", action="store_true", help="leave the folder as it is at the end")
    given = parser.parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="vixml-release-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        wheel, configuration = build(folder / "dist")
        python = install(wheel, folder / "environment")
        run(python, "-m", "twine", "check", "--strict", *map(str, wheel.parent.glob("vixml-*")), folder=folder)
        with tarfile.open(configuration) as archive:
            archive.extractall(folder, filter="data")
        use(python, folder)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("The release is well.")
    return 0


def build(folder: Path) -> tuple[Path, Path]:
    """Build wheel, source distribution and configuration; return the wheel and the configuration."""
    source = folder.parent / "source"
    for file in subprocess.check_output(["git", "ls-files"], cwd=REPOSITORY, text=True).splitlines():
        if (REPOSITORY / file).is_file():  # the working tree, without what it ignores
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / file, source / file)
    run(sys.executable, "-m", "build", "--outdir", str(folder), folder=source)
    configuration = folder / "conf-vixml.tar.gz"
    with tarfile.open(configuration, "w:gz") as archive:  # as `kedro package` does
        archive.add(source / "conf", "conf")
    (wheel,) = folder.glob("*.whl")
    return wheel, configuration


def install(wheel: Path, environment: Path) -> str:
    """Install the wheel into a new environment, as a user would; return its Python."""
    run(sys.executable, "-m", "venv", str(environment), folder=environment.parent)
    python = str(environment / "bin" / "python")
    constraints = str(REPOSITORY / "constraints.txt")
    wanted = [f"{wheel}[cpu]", "twine", "-c", constraints]
    if subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *wanted], check=False).returncode:
        run(python, "-m", "pip", "install", "--quiet", *wanted, folder=environment.parent)
    return python


def use(python: str, folder: Path) -> None:
    """Run the demo with the packaged configuration, ask its model, and serve it."""
    command = str(Path(python).parent / "vixml")
    params = ",".join(f"{name}={value}" for name, value in SMALL.items())
    run(command, "run", "--conf-source=conf", "--params", params, folder=folder)
    assert (folder / "data/08_reporting/demo/report.html").is_file()
    run(python, "-c", ASK, folder=folder)
    words = [command, "serve", "--model", "data/06_models/demo/encoder_vision", "--port", "8765"]
    with subprocess.Popen(words, cwd=folder, env=environment_of(folder)) as server:
        try:
            deadline = time.monotonic() + 300
            while not answers("http://127.0.0.1:8765/health"):
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.5)
        finally:
            server.terminate()


def answers(address: str) -> bool:
    """Return whether a server is up."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment of a user who has never seen the project's folder."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "HOME": str(folder)}


def run(*command: str, folder: Path) -> None:
    """Run a command to its end; an error ends the check."""
    print("$", " ".join(command), flush=True)
    subprocess.run(command, cwd=folder, env=environment_of(folder), check=True)


if __name__ == "__main__":
    sys.exit(main())
