"""What a training reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.training.inputs import ItemSource
from vixml.training.validation import Validation


@dataclass(frozen=True)
class TrainingInputs:
    """What a training reads.

    Args:
        queries: Training queries, N.
        labels: Labels, L.
        relevance: Relevance [N, L].
        inverse_propensity: float64 [L].
        validation: Held-out queries, or None.
    """

    queries: ItemSource
    labels: ItemSource
    relevance: sp.csr_matrix
    inverse_propensity: NDArray[np.float64]
    validation: Validation | None = None
