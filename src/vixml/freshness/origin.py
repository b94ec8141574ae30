"""Where an output comes from: the document beside it, and what has changed since it was written."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from vixml import __version__
from vixml.core.directories import read_json, write_json
from vixml.core.errors import StateError, VixmlError
from vixml.core.provenance import differences, fingerprint_json, flatten, listed
from vixml.core.redact import redact_document
from vixml.freshness.contents import DAMAGED, content_of, learn, path_of
from vixml.freshness.reads import PARTS, READS
from vixml.params.speed import IGNORED_PARAMETERS, result_settings

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node

_SHOWN = 3


@dataclass(frozen=True)
class Origin:
    """What a node's outputs depend on.

    Args:
        function: Qualified name of its function.
        version: Version of this package.
        parameters: Its parameters, speed-only settings and what it does not read left out; no secret in clear.
        inputs: Fingerprint of each input, or of what the node reads of it; None for one that was not there.
        stamps: Stamps that go with the fingerprints, a short cut that is not compared.
    """

    function: str
    version: str
    parameters: dict[str, Any]
    inputs: dict[str, str | None]
    stamps: dict[str, str | None] = field(default_factory=dict)


def origin_of(node: Node, catalog: CatalogProtocol) -> Origin:
    """Return what the outputs of `node` would depend on if it ran now."""
    parameters, contents = {}, {}
    for name in dict.fromkeys(node.inputs):
        if name.startswith("params:") or name == "parameters":
            if name not in IGNORED_PARAMETERS:
                parameters[name] = _counted(node, name, catalog.load(name))
        else:
            contents[name] = content_of(catalog.get(name), parts=PARTS.get(node.func.__name__, {}).get(name))
    return Origin(
        function=f"{node.func.__module__}.{node.func.__qualname__}",
        version=__version__,
        parameters=_without_secrets(json.loads(json.dumps(parameters, default=str))),
        inputs={name: content.fingerprint for name, content in contents.items()},
        stamps={name: content.stamp for name, content in contents.items()},
    )


def _without_secrets(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as they may be written: secrets are replaced by one hash, which shows when one has changed."""
    shown = redact_document(parameters)
    given, safe = flatten(parameters), flatten(shown)
    hidden = {name: value for name, value in given.items() if value != safe[name]}
    return {**shown, "secrets": fingerprint_json(hidden)} if hidden else shown


def why_stale(node: Node, catalog: CatalogProtocol) -> str | None:
    """Return why `node` has to run, or None where all of its outputs are what it would make now."""
    paths = {name: path_of(catalog.get(name)) for name in node.outputs}
    if not all(paths.values()):
        return "it keeps nothing on disk"
    records = {name: read_record(path) for name, path in paths.items() if path is not None}
    for name, record in records.items():
        _learn(name, record, catalog)
    now = origin_of(node, catalog)
    found = (_reason(name, record, now, catalog) for name, record in records.items())
    reason = "it keeps nothing on disk" if not records else next(filter(None, found), None)
    if reason is None:
        for name, record in records.items():
            if record is not None and record["stamps"] != now.stamps:  # touched, but equal: spare the next run the hash
                with suppress(VixmlError, OSError):  # the place may be read-only
                    write_record(name, now, catalog)
    return reason


def was_recorded(node: Node, catalog: CatalogProtocol) -> bool:
    """Return whether all outputs of `node` are there and say where they come from."""
    paths = [path_of(catalog.get(name)) for name in node.outputs]
    return all(path is not None and path.exists() and read_record(path) is not None for path in paths)


def record_file(path: Path) -> Path:
    """Return where the origin of the output at `path` is kept."""
    return path.with_name(f".{path.name}.origin.json")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the origin of the output at `path`; None where there is none to trust."""
    try:
        record = read_json(record_file(path))
    except (StateError, OSError):
        return None
    keys = {"function", "version", "parameters", "inputs", "stamps", "content", "stamp"}
    return record if isinstance(record, dict) and keys <= record.keys() else None


def write_record(name: str, origin: Origin, catalog: CatalogProtocol) -> None:
    """Write the origin of the output `name`, which has just been saved."""
    dataset = catalog.get(name)
    path = path_of(dataset)
    if path is not None:
        content = content_of(dataset)
        document = {**asdict(origin), "content": content.fingerprint, "stamp": content.stamp}
        write_json(record_file(path), document)


def _learn(name: str, record: Mapping[str, Any] | None, catalog: CatalogProtocol) -> None:
    if record is not None:
        learn(path_of(catalog.get(name)), record["stamp"], record["content"])
        for other, stamp in record["stamps"].items():
            learn(path_of(catalog.get(other)), stamp, record["inputs"].get(other))


def _reason(name: str, record: Mapping[str, Any] | None, now: Origin, catalog: CatalogProtocol) -> str | None:
    """Return why the output `name` is stale, or None."""
    content = content_of(catalog.get(name)).fingerprint
    if content is None:
        return f"`{name}` does not exist"
    if content == DAMAGED:
        return f"`{name}` is incomplete or was edited"
    if record is None:
        return f"`{name}` has no origin record"
    if content != record["content"]:
        return f"`{name}` was changed after it was made"
    return _difference(record, now, catalog)


def _counted(node: Node, name: str, value: Any) -> Any:
    """Return what counts of a parameter; a section comes as its model, or as a mapping where Kedro did not parse it."""
    arguments = list(inspect.signature(node.func).parameters)
    place = list(node.inputs).index(name)
    kind = typing.get_type_hints(node.func).get(arguments[place]) if place < len(arguments) else None
    if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, Mapping):
        value = kind.model_validate(dict(value))
    if not isinstance(value, BaseModel):
        return value
    return result_settings(value, READS.get(node.func.__name__, {}).get(type(value)))


def _difference(record: Mapping[str, Any], now: Origin, catalog: CatalogProtocol) -> str | None:
    if record["function"] != now.function:
        return f"{record['function']} made it"
    if record["version"] != now.version:
        return f"vixml {record['version']} made it, this is {now.version}"
    settings = differences(*(flatten(_by_section(parameters)) for parameters in (record["parameters"], now.parameters)))
    if settings:
        return listed(settings, _SHOWN)
    changed = [
        name
        for name in sorted(record["inputs"].keys() | now.inputs.keys())
        if record["inputs"].get(name) != now.inputs.get(name) and not _gone(name, now, catalog)
    ]
    return ", ".join(f"`{name}`" for name in changed) + " changed" if changed else None


def _gone(name: str, now: Origin, catalog: CatalogProtocol) -> bool:
    """Whether an input that a node needs is not there (any more): nothing to compare, and no reason to run."""
    needed = not getattr(catalog.get(name), "missing_ok", False)
    return needed and name in now.inputs and now.inputs[name] is None


def _by_section(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("params:"): value for name, value in parameters.items()}
