"""Fingerprints: short hashes of JSON-like settings and documents."""

from __future__ import annotations

import hashlib
import json
import re
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
