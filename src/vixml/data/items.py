"""Items: what every side of a data set is, a table of uid, text and images."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PLACEHOLDER = "untitled"
"""Text of an item that has none, so that no encoder is given an empty sequence."""


def items_fingerprint(items: pd.DataFrame) -> str:
    """Return the SHA-256 over the uids in their order: two outputs of equal fingerprint can be joined by row."""
    return hashlib.sha256("\n".join(items["uid"].astype(str)).encode()).hexdigest()
