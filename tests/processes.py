"""Processes of their own that cost their work and not their imports: forked from one that imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.fork_server import share

REPOSITORY = Path(__file__).resolve().parents[1]
OWN_MODULES = ("benchmarks", "pytest", "vixml")
"""What programs here start with `python -m` in a process of its own."""

_PRELOADED = ["tests.imported_once"]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(_PRELOADED)
WORKERS: list[Path] = []
"""The folder that all workers of a run of the tests know, if there are several: they use one fork server."""


@dataclass(frozen=True)
class Ended:
    """How a process ended (negative: by a signal), and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def start(body: Callable[..., Any], *arguments: Any, folder: Path, outputs: tuple[Path, Path]) -> Any:
    """Start a function, which other processes can import, in a process and process group of its own.

    Args:
        body: What to run; what it returns is the exit code.
        arguments: For `body`.
        folder: The process's working directory.
        outputs: Files that what it writes is added to: its standard output, and its standard error.
    """
    while WORKERS:
        share(WORKERS.pop(), _PRELOADED)
    process = _CONTEXT.Process(target=_run, args=(body, arguments, folder, outputs, dict(os.environ)))
    process.start()
    wait_until(lambda: _leads_a_group(process.pid), process.is_alive, seconds=900)
    return process


def run(body: Callable[..., Any], *arguments: Any, folder: Path) -> Ended:
    """Run a function in a process of its own to its end; see `start`."""
    outputs = (folder / ".stdout.txt", folder / ".stderr.txt")
    process = start(body, *arguments, folder=folder, outputs=outputs)
    process.join()
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in outputs]
    for file in outputs:
        file.unlink()
    return Ended(process.exitcode, *texts)


def run_command(*words: str, folder: Path) -> Ended:
    """Run a command in a folder as a shell would; see `program`."""
    return run(program, list(words), folder=folder)


def wait_until(reached: Callable[[], bool], alive: Callable[[], bool], *, seconds: float) -> None:
    """Wait until something is reached.

    Raises:
        RuntimeError: The process ended before, or time is up.
    """
    deadline = time.monotonic() + seconds
    while not reached():
        if not alive() or time.monotonic() > deadline:
            if reached():
                return
            raise RuntimeError("the process ended or did not answer in time")
        time.sleep(0.05)


def _leads_a_group(pid: int | None) -> bool:
    try:
        return pid is not None and os.getpgid(pid) == pid
    except ProcessLookupError:
        return True


def _run(
    body: Callable[..., Any],
    arguments: tuple[Any, ...],
    folder: Path,
    outputs: tuple[Path, Path],
    environment: Mapping[str, str],
) -> None:
    os.setsid()
    for descriptor, file in enumerate(outputs, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if cache := environment.get("HF_HUB_CACHE"):  # read when the library was imported
        sys.modules["huggingface_hub.constants"].HF_HUB_CACHE = cache  # type: ignore[attr-defined]
    subprocess._fork_exec = _forking(subprocess._fork_exec)  # type: ignore[attr-defined]
    _end_with(body, *arguments)


def _forking(execute: Callable[..., int]) -> Callable[..., int]:
    """Return what starts the programs of `subprocess`: those that would import the same again are forked, too."""

    def start(arguments: Any, *options: Any) -> int:
        words = _importing([os.fsdecode(word) for word in arguments])
        if words is None:
            return execute(arguments, *options)
        sys.stdout.flush()
        sys.stderr.flush()
        if pid := os.fork():
            return pid
        _, _, _, folder, environment, *pipes, _, session = options[:15]
        if session:
            os.setsid()
        for descriptor, pipe in enumerate((pipes[0], pipes[3], pipes[5])):  # the ends that the new program has
            if pipe != -1:
                os.dup2(pipe, descriptor)
        for pipe in {*pipes} - {-1, 0, 1, 2}:
            os.close(pipe)
        if folder is not None:
            os.chdir(folder)
        if environment is not None:
            os.environ.clear()
            os.environb.update(entry.split(b"=", 1) for entry in environment)
        _end_with(program, words)

    return start


def _importing(words: list[str]) -> list[str] | None:
    """Return the words for `program` where a command is this project's, or the server of `mlflow models serve`."""
    if words[:2] == ["bash", "-c"] and words[2].startswith("exec uvicorn "):
        return shlex.split(words[2])[1:]
    if words[0] != sys.executable or len(words) == 1:
        return None
    first = words[1]
    file = Path(first).resolve()
    # an environment inside of the repository holds other programs: pip's builds need a process of their own
    ours = file.suffix == ".py" and file.is_relative_to(REPOSITORY) and not file.is_relative_to(sys.prefix)
    ours = ours or (first == "-m" and words[2].partition(".")[0] in OWN_MODULES)
    return ["python", *words[1:]] if ours else None


def _end_with(body: Callable[..., Any], *arguments: Any) -> NoReturn:
    """End this process with the exit code that a function returns or exits with."""
    code: Any = 1
    try:
        code = body(*arguments)
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):  # as at the top of any program
            print(code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # as at the top of any program
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def program(words: list[str]) -> Any:
    """Do what a shell would do with these words, for the programs that the documentation uses; return the exit code."""
    sys.argv = list(words)
    if words[:2] == ["python", "-m"]:
        sys.argv = words[2:]
        return runpy.run_module(words[2], run_name="__main__", alter_sys=True) and 0
    if words[:2] == ["python", "-c"]:
        exec(compile(words[2], "documented", "exec"), {"__name__": "__main__"})
        return 0
    if words[0] == "python":
        sys.argv = words[1:]
        return runpy.run_path(words[1], run_name="__main__") and 0
    if words[0] == "make":
        outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # of a make that runs these tests
        inner = {name: value for name, value in os.environ.items() if name not in outer}
        return subprocess.run(words, check=False, env=inner).returncode
    return _entry(words[0])()


def _entry(name: str) -> Callable[[], Any]:
    """The function behind an installed command."""
    from importlib.metadata import entry_points

    found = next(iter(entry_points(group="console_scripts", name=name)))
    loaded: Callable[[], Any] = found.load()
    return loaded
