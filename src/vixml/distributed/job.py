"""A function that several ranks run together: its name and arguments travel as JSON and as folders, nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vixml.core.directories import Built, SealedDirectory, WorkDirectory, open_sealed, read_json, write_json
from vixml.distributed.launch import Machines, clear, launch

JOB, RESULT, WORKER = "job.json", "result.json", "vixml.distributed.worker"
_OURS = "vixml."
_KIND = "~kind"


def run_in_ranks(function: str, arguments: Mapping[str, Any], *, folder: Path, machines: Machines) -> Any:
    """Run a function in every rank and return what the leader's call returned.

    Args:
        function: `module:name` of a function of this package.
        arguments: Its keyword arguments: JSON values, paths, settings, and handles of published or work directories.
        folder: Shared with the ranks.
        machines: How many ranks, and where.

    Raises:
        VixmlError: It failed in a rank.
        Stopped: A signal asked to stop.
    """
    clear(folder)
    (folder / RESULT).unlink(missing_ok=True)
    write_json(folder / JOB, {"function": function, "arguments": encoded(dict(arguments))})
    launch(WORKER, [str(folder)], folder=folder, machines=machines)
    return decoded(read_json(folder / RESULT)["value"])


def run_job(folder: Path) -> Any:
    """Call the function that a job names, as one of its ranks."""
    job = read_json(folder / JOB)
    return _named(job["function"])(**decoded(job["arguments"]))


def write_result(folder: Path, value: Any) -> None:
    """Write down what the function returned, for the process that launched the ranks."""
    write_json(folder / RESULT, {"value": encoded(value)})


def encoded(value: Any) -> Any:
    """Return a value as JSON, from which `decoded` makes it again."""
    name = f"{type(value).__module__}:{type(value).__qualname__}"
    match value:
        case dict():
            found: Any = {name: encoded(part) for name, part in value.items()}
        case list():
            found = [encoded(part) for part in value]
        case tuple():
            found = {_KIND: "tuple", "parts": [encoded(part) for part in value]}
        case Built():
            found = {_KIND: "built", "path": str(value.path), "of": value.kind, "meta": dict(value.meta)}
        case SealedDirectory():
            found = {_KIND: "sealed", "path": str(value.path.absolute())}
        case WorkDirectory():
            found = {_KIND: "work", "path": str(value.path.absolute())}
        case Path():
            found = {_KIND: "path", "path": str(value.absolute())}
        case BaseModel():
            found = {_KIND: "settings", "type": name, "values": value.model_dump(mode="json")}
        case _ if isinstance(directory := getattr(value, "directory", None), SealedDirectory):
            found = {_KIND: "handle", "type": name, "path": str(directory.path.absolute())}
        case _:
            found = value
    return found


def decoded(value: Any) -> Any:
    """Return what `encoded` was given; directories are opened, which checks their files."""
    if isinstance(value, list):
        return [decoded(part) for part in value]
    if not isinstance(value, dict):
        return value
    if _KIND not in value:
        return {name: decoded(part) for name, part in value.items()}
    return _DECODED[value[_KIND]](value)


_DECODED: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "tuple": lambda value: tuple(decoded(part) for part in value["parts"]),
    "built": lambda value: Built(Path(value["path"]), value["of"], value["meta"]),
    "sealed": lambda value: open_sealed(Path(value["path"])),
    "work": lambda value: WorkDirectory(Path(value["path"])),
    "path": lambda value: Path(value["path"]),
    "settings": lambda value: _named(value["type"]).model_validate(value["values"]),
    "handle": lambda value: _named(value["type"])(open_sealed(Path(value["path"]))),
}


def _named(name: str) -> Any:
    """Return a function or class of this package by `module:name`."""
    module, _, attribute = name.partition(":")
    assert module.startswith(_OURS), name
    return getattr(importlib.import_module(module), attribute)
