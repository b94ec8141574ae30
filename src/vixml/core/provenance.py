"""What something was made from: hashes of documents, settings by dotted names, library versions, and what differs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_VOLATILE = re.compile(r"second|memory|_now$")


def fingerprint_json(value: Any) -> str:
    """Return the SHA-256 of `value` as canonical JSON (keys sorted, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def drop_volatile_keys(value: Any) -> Any:
    """Return a JSON document without the facts that differ from run to run though nothing has changed.

    Those are the keys that name a time, a speed or memory: `seconds`, `milliseconds_per_query`, `images_per_second`,
    `peak_memory_bytes`, `images_encoded_now`. Name such facts alike, or whatever is made from them is out of date after
    every run.
    """
    if isinstance(value, dict):
        return {key: drop_volatile_keys(below) for key, below in value.items() if not _VOLATILE.search(str(key))}
    return [drop_volatile_keys(below) for below in value] if isinstance(value, list) else value


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and parameter models under dotted names; an empty mapping is a leaf."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if not isinstance(value, Mapping) or not value:
        return {prefix: value} if prefix else {}
    leaves: dict[str, Any] = {}
    for key, below in value.items():
        leaves |= flatten(below, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions among `names` that are installed; imports none of them."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return `name: then -> now` of every entry in which two flat documents differ as JSON; long values are cut."""
    then, now = (json.loads(json.dumps(dict(document), default=str)) for document in (then, now))
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    return [f"{name}: {_short(then.get(name))} -> {_short(now.get(name))}" for name in names]


def listed(entries: list[str], most: int = 12) -> str:
    """Return the first differences in one line, and how many more there are."""
    more = len(entries) - most
    return "; ".join(entries[:most]) + (f"; and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else text[:9] + '..."'
