"""Build the package, install it where the project is not, and do there what a user does: `make release-check`.

    python tests/e2e/release_check.py [--folder FOLDER] [--keep]

Wheel, source distribution and configuration are built and checked; the wheel is installed into an empty environment in
another folder; the demo runs there, small, with the packaged configuration; its model is opened, served and asked.
"""

from __future__ import annotations

import argparse
import json
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
from typing import Any

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
    print("The release works: built, checked, installed elsewhere; the demo ran, and its model answered.")
    return 0


def build(folder: Path) -> tuple[Path, Path]:
    """Build wheel, source distribution and configuration; return the wheel and the configuration."""
    source = folder.parent / "source"
    for file in subprocess.check_output(["git", "ls-files"], cwd=REPOSITORY, text=True).splitlines():
        if (REPOSITORY / file).is_file():  # the working tree, without what it ignores
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / file, source / file)
    run(sys.executable, "-m", "build", "--outdir", str(folder), folder=source, is_long=True)
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
            labels = ask("http://127.0.0.1:8765/api/predict", model="encoder_vision", text="red vase", k=3)
            assert len(labels) == 3, labels
        finally:
            server.terminate()


def ask(address: str, **question: object) -> list[object]:
    """Return the labels that a server answers with."""
    body = json.dumps(question).encode()
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        labels: list[object] = json.load(answer)["labels"]
    return labels


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


def run(*command: str, folder: Path, is_long: bool = False) -> None:
    """Run a command to its end; an error ends the check. Of a long output only the end is shown, after an error."""
    print("$", " ".join(command), flush=True)
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} if is_long else {}
    done = subprocess.run(command, cwd=folder, env=environment_of(folder), check=False, **options)
    if done.returncode:
        print((done.stdout or "")[-4000:], flush=True)
        raise SystemExit(f"it ended with exit code {done.returncode}: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
