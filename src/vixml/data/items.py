"""Items: what every side of a data set is, a table of uid, text and images in one Parquet file."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vixml.core.errors import StateError

if TYPE_CHECKING:
    import pandas as pd

PLACEHOLDER = "untitled"
"""Text of an item that has none, so that no encoder is given an empty sequence."""


def items_fingerprint(items: pd.DataFrame) -> str:
    """Return the SHA-256 over the uids in their order: two outputs of equal fingerprint can be joined by row."""
    return hashlib.sha256("\n".join(items["uid"].astype(str)).encode()).hexdigest()


MOST_CHARACTERS = 20_000
"""Of a text; what comes after them is cut off, in ingestion and in queries alike."""


def clean_text(text: str, repairs: Counter[str] | None = None) -> str:
    """Return a text as ingestion makes it: white space runs become one space, no more than `MOST_CHARACTERS`.

    Characters that UTF-8 cannot hold, lone surrogates, become `?`. A tokenizer would take gigabytes for a word of
    millions of letters, or end the process.

    Args:
        text: The text.
        repairs: Counts the repairs by name.
    """
    clean = " ".join(text.split())
    if len(clean) > MOST_CHARACTERS:
        clean = clean[:MOST_CHARACTERS].rstrip()
        if repairs is not None:
            repairs["long_texts_cut"] += 1
    whole = clean if clean.isascii() else clean.encode(errors="replace").decode()
    if repairs is not None and whole != clean:
        repairs["texts_with_broken_characters"] += 1
    return whole


def read_items(file: Path) -> pd.DataFrame:
    """Read the items of one side.

    Raises:
        StateError: The file is missing or is not Parquet.
    """
    import pandas as pd

    try:
        return pd.read_parquet(file)
    except FileNotFoundError as err:
        raise StateError("the items are missing", file=file, remedy="run `ingestion`.") from err
    except (OSError, ValueError) as err:
        raise StateError("the file is not Parquet", file=file, found=str(err), remedy="run `ingestion` again.") from err


def first_items(file: Path, rows: int) -> list[dict[str, Any]]:
    """Read the first items of one side and nothing else of the file."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as parquet:
        found: list[dict[str, Any]] = next((batch.to_pylist() for batch in parquet.iter_batches(batch_size=rows)), [])
    return found
