"""The sides of a data set, as code, outputs and reports name them, and the short names that raw files have for them."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """One side of a data set; as text it is its name (`train`)."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    LABEL = "label"

    @property
    def code(self) -> int:
        """The side's number in arrays, in the order training, validation, test, labels."""
        return _ORDER.index(self)


_ORDER = tuple(Side)

QUERY_SIDES = (Side.TRAIN, Side.VALIDATION, Side.TEST)
"""The sides that hold queries."""

SHORT_NAMES = {Side.TRAIN: "trn", Side.TEST: "tst", Side.LABEL: "lbl"}
"""Sides of raw files -> how their names, and the column `split` of tables beside them, spell the side. Validation
queries have no raw file of their own: they are carved out of the training side."""
