"""The commands of README and docs, made small, each run as a person would type it but in a forked process."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.documented_files import (
    serve_pictures,
    write_addresses,
    write_embeddings,
    write_queries_and_labels,
    write_tables,
)
from tests.processes import program, start, wait_until
from tests.servers import answers, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
    "batching": {"batch_size": 32, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
    "training": {"epochs": 2},
}
TINY: dict[str, Any] = {
    "fabrication": {"num_train": 120, "num_test": 40, "num_labels": 60, "image_pixels": 32},
    "evaluation": {"ks": [1, 5, 10], "top_k": 20},
    "comparison": {"bootstrap_samples": 100, "gallery_queries": 10},
    "download": {"allow_private": True},
    "vision": {"model": "tiny", "tiny_image_size": 32},
    "encoder": FAMILY,
    "decoder": FAMILY,
}
"""Laid over `conf/base` of the scratch project, so that the literal commands take seconds; it wins over recipes."""

OBJECTIVES = (
    *("encoder_text_ngame", "encoder_vision_dexa", "encoder_text_prime", "encoder_vision_infonce"),
    "encoder_text_decoupled_softmax",
)
"""Rows of the ablation that are trained where all of them would be."""

LARGE = {
    r"encoder_recipe=(?:minilm-\d+k|small-data|medium-data)": r"\g<0>,encoder.training.epochs=2",
    r"training\.epochs=\d+": "training.epochs=2",
    r"batching\.start_epoch=\d+": "batching.start_epoch=1",
    r"data\.image_embeddings=null": r"\g<0>,vision.model=tiny",
    # bf16 takes three times as long without its instructions; the row of the 7B model with images keeps it
    r"(?<=decoder_recipe=)qwen2\.5-(?:0\.5b|3b)\b": r"\g<0>,decoder.optim.precision=fp32",
    r"(?<=decoder_text --params decoder_recipe=)qwen2\.5-7b\b": r"\g<0>,decoder.optim.precision=fp32",
    r"=cuda(:\d)?\b": "=cpu",
    r"P_at_1 > 0\.5": "P_at_1 >= 0",
    r"-m venv \.venv$": r"\g<0> --without-pip",
    r"^python3 ": "python ",
    r"^vixml init-data \S+/from-pandas$": r"\g<0> --name from_pandas",
    r"^pip (?=show )": "python -m pip ",
    r"^python \S+benchmarks/prediction.py .*": r"\g<0> --sizes 50",
    r"^python \S+benchmarks/load.py .*": r"\g<0> --seconds 1 --clients 2",
    r"^(python -m benchmarks(\.gpu)?)(?= |$)": r"\1 --quick",
    r"^python -m benchmarks.train_step": r"\g<0> --batch 16 --steps 2 --labels 500",
    # all ten rows would be trained in the same way: each objective once, and both kinds of variants
    r"^kedro run --pipeline=ablation$": rf"\g<0> --namespaces={','.join(OBJECTIVES)},ablation",
    r"--env=\w+ --pipeline=ablation$": r"\g<0> --namespaces=encoder_text_ngame,encoder_text_prime,ablation",
}
"""What is made smaller in a command itself."""

SERVERS = {
    "vixml serve": ("/health", ()),
    "kedro viz run": ("/api/main", ("--no-browser",)),
    "kedro mlflow ui": ("/health", ()),
    "mlflow models serve": ("/ping", ()),
}
"""Commands that do not end: the address that answers once they are up, and options that keep browsers shut."""


RESOLVE = ("--dry-run", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable)
"""Makes `uv pip install` look whether the environment of the tests is what it would install, and install nothing.

pip itself takes fifty times as long to find out the same.
"""

PUBLISHED = ("LF-AmazonTitles-131K", "LF-Amazon-131K", "MM-AmazonTitles-300K", "LF-AmazonTitles-1.3M")
"""Data sets of the paper, which the demo's data stand for."""

TARGETS = {
    "run": ("project", "--pipeline=fabrication"),
    "torture": ("forked", "--kills 4 --variants encoder_vision"),
    "gpu-check": ("forked", ""),
    "install": ("repository", ""),
    "audit": ("repository", "--dry-run"),  # all but asking the public database
    # what these run is run anyway: the tests, by whoever runs this one; the others as commands of their own
    "test": ("named", ""),
    "bench": ("named", ""),
    "scale": ("named", ""),
    "docs": ("named", ""),
    "secrets": ("named", ""),
    "viz": ("named", ""),
    "mlflow": ("named", ""),
    "viz-site": ("named", ""),
}
"""Targets of the Makefile: where they are tried, and what makes them small.

`named`: `make -n`; `forked`: the command that `make -n` prints is run as any other command, without its imports.
"""


INSTALLED = (
    *("-o", f"{sys.prefix}/.installed-run", "-o", f"{sys.prefix}/.installed-dev"),
    *(f"VENV={sys.prefix}", "--no-print-directory"),
)
"""Makes `make` take the environment that the tests run in for one that was just installed."""


def server_of(command: str) -> str | None:
    """Return which of the servers a command starts, if any."""
    return next((name for name in SERVERS if f"{command} ".startswith(f"{name} ")), None)


@dataclass
class Scratch:
    """A project with tiny settings, and the files that the documentation speaks of.

    Args:
        folder: An empty folder.
        models: Folder that stands for `/models`.
        store: An MLflow store to begin with; else the first run makes one.
    """

    folder: Path
    models: Path
    store: Path | None = None
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.project = self.folder / "project"
        self.log = self.folder / "log.txt"
        self._server: Any = None
        self._copy_project()
        assert self.run("README.md", "kedro run --pipeline=fabrication") == 0, self.said()
        raw = self.project / "data" / "01_raw" / "demo"
        for name in ("my-shop", "mm-icontags", "lf-tatesubjects", "my-official"):
            shutil.copytree(raw, self.folder / "files" / name)
        write_embeddings(self.folder / "files" / "my-official", "official")
        for name in PUBLISHED:
            shutil.copytree(raw, raw.parent / name)
            write_embeddings(raw.parent / name, ".")
        self._web = serve_pictures(raw)
        pictures = [f"http://127.0.0.1:{self._web.server_port}/{file.name}" for file in sorted(raw.rglob("*.png"))[:10]]
        write_addresses(raw, raw.parent / "MM-AmazonTitles-300K-five", pictures)
        for place in ("tables/my-shop", "files/my-tables"):
            write_tables(self.folder / place, pictures)
        write_queries_and_labels(self.project, raw)

    def _copy_project(self) -> None:
        import yaml

        from vixml.configuration.compose import overlay

        for name in ("src", "docs/reference"):
            (self.project / name).mkdir(parents=True)
        shutil.copytree(REPOSITORY / "conf", self.project / "conf", ignore=shutil.ignore_patterns("local"))
        (self.project / "conf" / "local").mkdir()
        shutil.copy(REPOSITORY / "pyproject.toml", self.project)
        (self.project / ".telemetry").write_text("consent: false\n", encoding="utf-8")
        if self.store is not None:
            shutil.copy(self.store, self.project / "mlflow.db")
        for file in (self.project / "conf" / "base").glob("parameters*.yml"):
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            small = overlay(content, {name: value for name, value in TINY.items() if name in content})
            file.write_text(yaml.safe_dump(small), encoding="utf-8")

    def adapt(self, page: str, command: str) -> list[str]:
        """Return the words of a command with this project's folders and ports, and less work."""
        data = self.folder / ("tables" if page == "own_data.md" else "files")
        command = re.sub(r"(?<![\w.])/data/", f"{data}/", command)
        command = re.sub(r"(?<![\w.])/models/", f"{self.models}/", command)
        command = command.replace("python benchmarks/", f"python {REPOSITORY}/benchmarks/")
        for pattern, small in LARGE.items():
            command = re.sub(pattern, small, command)
        command = re.sub(r"(?<=127\.0\.0\.1:)\d{4}", lambda port: str(self._port(port[0])), command)
        words = shlex.split(command)
        if words[:2] == ["pip", "install"]:
            return ["python", "-m", "uv", *words[:2], *RESOLVE, *(_in_repository(word) for word in words[2:])]
        return _make(words[1:]) if words[0] == "make" else words

    def run(self, page: str, command: str) -> int | None:
        """Run a command to its end; return its exit code."""
        process = self._start(self.adapt(page, command))
        process.join()
        return process.exitcode

    def serve(self, command: str) -> None:
        """Start a server on a free port in place of the one before, and wait until it answers.

        Raises:
            RuntimeError: It ended, or did not answer in time.
        """
        self.stop()
        kind = server_of(command)
        assert kind is not None
        path, options = SERVERS[kind]
        words = self.adapt("", re.sub(r" (-p|--port) \d+", "", command))
        asked = re.search(r" (?:-p|--port) (\d+)", command)
        port = self._port(asked[1] if asked else "8000")
        options = (*options, "--port", str(port))
        self._server = self._start([*words, *options])
        wait_until(lambda: answers(f"http://127.0.0.1:{port}{path}"), self._server.is_alive, seconds=900)

    def stop(self) -> None:
        """Stop the server, and whatever it started."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.join()
            self._server = None
            self.ports.clear()

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        self._web.shutdown()

    def said(self) -> str:
        """The end of what the last commands wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]

    def _port(self, documented: str) -> int:
        if documented not in self.ports:
            self.ports[documented] = free_port()
        return self.ports[documented]

    def _start(self, words: list[str]) -> Any:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(words)}\n")
        return start(program, words, folder=self.project, outputs=(self.log, self.log))


def _in_repository(word: str) -> str:
    """Return a word of a command that a person types at the top of the repository, to be used anywhere."""
    if word.startswith(".["):
        return f"{REPOSITORY}{word[1:]}"
    return str(REPOSITORY / word) if (REPOSITORY / word).is_file() else word


def _make(words: list[str]) -> list[str]:
    """Return the words that make a target with the environment that the tests run in, as if it were just installed."""
    assert words[0] in TARGETS, f"how is `make {words[0]}` tried? say so in TARGETS"
    where, small = TARGETS[words[0]]
    given = next((word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")), "")
    place = ["-f", str(REPOSITORY / "Makefile")] if where == "project" else ["-C", str(REPOSITORY)]
    place += ["-n"] if where in ("named", "forked") else []
    command = ["make", *place, *INSTALLED, words[0], f"ARGS={given} {small}"]
    return recipe_of(command) if where == "forked" else command


def recipe_of(command: list[str]) -> list[str]:
    """Return the words of the only line that `make -n` prints, without what it sets for the shell."""
    (line,) = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    program, *rest = itertools.dropwhile(lambda word: "=" in word, shlex.split(line.rpartition("; ")[2]))
    return [Path(program).name, *(_in_repository(word) for word in rest)]
