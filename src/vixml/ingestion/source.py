"""What ingestion needs of raw files, whatever their format: the common ground of all readers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vixml.data.sides import Side
from vixml.ingestion.ledger import Ledger


@dataclass(frozen=True)
class RawSide:
    """One side of the raw files: training (validation still among it), test or labels.

    Args:
        file: Where it was read.
        uids: n unique identifiers.
        titles: n titles, as in the file (a null is the empty string).
        contents: n contents, as in the file; the empty string where a line has none.
        lines: int64 [n], 1-based line of each item.
        offsets: int64 [n + 1], where the targets of each item begin; all zero for labels.
        targets: int64 [offsets[-1]], label rows as in the file, not yet checked against the number of labels.
        relevance: float32 [offsets[-1]], target_rel.
        num_without_content: Lines that have no field `content`.
    """

    file: Path
    uids: list[str]
    titles: list[str]
    contents: list[str]
    lines: NDArray[np.int64]
    offsets: NDArray[np.int64]
    targets: NDArray[np.int64]
    relevance: NDArray[np.float32]
    num_without_content: int

    def __len__(self) -> int:
        return len(self.uids)

    def line_of_target(self, position: int) -> int:
        """Return the 1-based line that holds target number `position` of the flat arrays."""
        return int(self.lines[np.searchsorted(self.offsets, position, side="right") - 1])


@dataclass(frozen=True)
class Source:
    """What ingestion needs of raw files, whatever their format.

    Args:
        sides: Training, test, labels -> items and targets.
        images: Training, test, labels -> image paths of every item, relative to the raw root.
        filters: Training, test -> csr_matrix float32 of ones (points, labels), pairs that must not be predicted.
        repairs: What was repaired or left out, by name.
        validation: Training rows that the files themselves set aside for validation, int64; None where they do not.
        facts: What else was found, for the report.
        ledger: What the files hold and what is taken of it.
    """

    sides: dict[Side, RawSide]
    images: dict[Side, list[list[str]]]
    filters: dict[Side, csr_matrix]
    repairs: dict[str, int]
    validation: NDArray[np.int64] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
