"""What a ranking's validation queries tell about its scores, as one document beside the ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vixml.calibration.curves import RegressionCurve, StepCurve
from vixml.calibration.precision import PrecisionCurve
from vixml.core.directories import write_json
from vixml.core.guards.untrusted import opening, read_document
from vixml.params.base import Params

FILE = "calibration.json"
UNPUBLISHED = (
    "This model was published without probabilities: run its `evaluation` pipeline again, on data with a validation "
    "split."
)
NO_VALIDATION = (
    "There are no probabilities: the data had no validation split to measure them on (set data.validation_fraction, "
    "then run ingestion and the variant again)."
)
NOT_WANTED = "There are no probabilities: retrieval.calibration is null."


class Calibration(Params):
    """Turns the scores of a ranking into probabilities."""

    curve: Annotated[StepCurve | RegressionCurve, Field(discriminator="kind")]
    precision: PrecisionCurve
    """Of probabilities that the curve gave to queries it was not fitted on."""
    report: dict[str, Any] = Field(default_factory=dict)
    """How it was chosen."""

    def probabilities(
        self, scores: NDArray[np.floating], labels: NDArray[np.integer], frequencies: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Return how likely each label of a ranking is a true one, float32 [n, k].

        NaN for padding, and for a label that training never saw: no validation query tells about those.

        Args:
            scores: The ranking's scores [n, k], best first, padded with -inf.
            labels: Its labels [n, k], padded with -1.
            frequencies: Training queries of each label [L]; -1 for a label added after training.
        """
        if not labels.size:
            return np.zeros(labels.shape, dtype=np.float32)
        number = frequencies[labels]
        found = self.curve.at(scores, number).astype(np.float32)
        found[(labels < 0) | (number < 0)] = np.nan
        return found


class Absent(Params):
    """Why a ranking has no probabilities."""

    absent: str = Field(max_length=1000)
    """The sentence that a user reads."""


Calibrated = Calibration | Absent


def save_calibration(calibration: Calibrated, folder: Path) -> None:
    """Write it into `folder`, which exists."""
    write_json(folder / FILE, calibration.model_dump(mode="json"))


def open_calibration(folder: Path) -> Calibrated:
    """Read what `save_calibration` wrote; a folder of an earlier version has none.

    Raises:
        StateError: The file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return Absent(absent=UNPUBLISHED)
    document = read_document(file)
    with opening(file):
        return Absent.model_validate(document) if "absent" in document else Calibration.model_validate(document)
