"""Fingerprints: short hashes of JSON-like settings."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint_json(value: Any) -> str:
    """Return the SHA-256 of `value` as canonical JSON (keys sorted, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
