"""The state of a training: all that changes while it runs, and all that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.core.provenance import fingerprint_json
from vixml.core.seeding import numpy_generator
from vixml.models.dual import DualModel
from vixml.negatives.batches import num_batches
from vixml.negatives.table import MinedTable

Ints = NDArray[np.int64]

_MONITORED = 1024
_ROWS = 65_536  # embeddings copied at once


class Means:
    """Running means of named scalar tensors; they stay on their device until somebody asks.

    Args:
        device: Where the values live.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, torch.Tensor] = {}
        self.count = 0

    def add(self, terms: dict[str, torch.Tensor]) -> None:
        """Count one more step in."""
        self._sums = {name: self._sums[name] + value if self.count else value for name, value in terms.items()}
        self.count += 1

    def take(self) -> dict[str, float]:
        """Return the means and begin again."""
        document = self.document()
        self.restore({"sums": {}, "count": 0})
        return {name: value / document["count"] for name, value in document["sums"].items()}

    def document(self) -> dict[str, Any]:
        """Return sums (float32 values, which JSON keeps exactly) and count."""
        values = torch.stack(list(self._sums.values())).tolist() if self._sums else []
        return {"sums": dict(zip(self._sums, values, strict=True)), "count": self.count}

    def restore(self, document: dict[str, Any]) -> None:
        """Go on from a `document`."""
        self._sums = {name: torch.tensor(value, device=self._device) for name, value in document["sums"].items()}
        self.count = document["count"]


@dataclass
class TrainingState:
    """Weights, moments, embedding bank, clusters and mined labels, and how far the training is.

    Random streams, batches, curriculum and schedule are derived from seed, epoch and step: they need no state.

    Args:
        model: The model, on its device.
        optimiser: Its optimiser.
        identity: What the numbers depend on; a checkpoint of another identity is not continued.
        rows: Training queries that have a label, int64 ascending.
        monitored_rows: Those among them whose negatives are compared from refresh to refresh.
        batch_size: Queries of a step, at most.
        steps_per_epoch: Batches of an epoch.
        bank: Last embedding of each training query, float16 [N, d].
        epoch_means: Means of the terms over the current epoch.
        recent_means: Mean loss since the last record of the curve.
        clusters: Clusters of `rows`; None before the first ones.
        mined: Labels that batches draw from as extra negatives; None where they draw none.
        mined_is_renewed: Whether `mined` was renewed since the exact refresh, whose labels lie beside its clusters.
        monitored: Labels mined last for `monitored_rows`.
        epoch: Epochs done.
        step: Steps done.
        seconds: Time of all training steps.
        epoch_seconds: Time of those of the current epoch.
        peak_memory_bytes: Peak memory so far.
    """

    model: DualModel
    optimiser: torch.optim.Optimizer
    identity: Mapping[str, Any]
    rows: Ints
    monitored_rows: Ints
    batch_size: int
    steps_per_epoch: int
    bank: torch.Tensor
    epoch_means: Means
    recent_means: Means
    clusters: list[Ints] | None = None
    mined: MinedTable | None = None
    mined_is_renewed: bool = False
    monitored: NDArray[np.integer] | None = None
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    peak_memory_bytes: int = 0

    @property
    def fingerprint(self) -> str:
        """Hash of the identity."""
        return fingerprint_json(dict(self.identity))

    @property
    def step_in_epoch(self) -> int:
        """Steps of the current epoch that are done."""
        return self.step - self.epoch * self.steps_per_epoch

    def set_bank(self, embeddings: NDArray[np.floating]) -> None:
        """Take over embeddings [N, d], a memory map as well."""
        for start in range(0, len(embeddings), _ROWS):
            self.bank[start : start + _ROWS] = torch.from_numpy(np.array(embeddings[start : start + _ROWS]))

    def restart_epoch(self) -> None:
        """Go back to the beginning of the current epoch, with the weights as they are."""
        self.step, self.epoch_seconds = self.epoch * self.steps_per_epoch, 0.0
        self.epoch_means, self.recent_means = Means(self.model.device), Means(self.model.device)


def new_state(
    model: DualModel,
    optimiser: torch.optim.Optimizer,
    relevance: sp.csr_matrix,
    *,
    batch_size: int,
    max_epoch_steps: int = 0,
    seed: int,
    identity: Mapping[str, Any],
) -> TrainingState:
    """Return the state of a training at step 0.

    Args:
        model: The model, on its device.
        optimiser: Its optimiser.
        relevance: Relevance of the training queries [N, L].
        batch_size: Queries of a step, at most.
        max_epoch_steps: Steps of an epoch, at most; 0 for all batches.
        seed: Root seed.
        identity: What the numbers depend on.
    """
    # A query without labels has no positive to learn from.
    rows = np.flatnonzero(np.diff(relevance.indptr)).astype(np.int64)
    batch_size = min(batch_size, len(rows))
    steps = num_batches(len(rows), batch_size)
    count, dim = relevance.shape[0], model.embedder.dim
    return TrainingState(
        model,
        optimiser,
        identity,
        rows,
        monitored_queries(rows, seed),
        batch_size,
        min(steps, max_epoch_steps or steps),
        torch.zeros(count, dim, dtype=torch.float16, device=bank_device(count * dim * 2, model.device)),
        Means(model.device),
        Means(model.device),
    )


def monitored_queries(rows: Ints, seed: int) -> Ints:
    """Return the queries whose negatives are compared from refresh to refresh: all, or a fixed sample of many."""
    if len(rows) <= _MONITORED:
        return rows
    return np.sort(numpy_generator(seed, "watched").choice(rows, _MONITORED, replace=False))


def bank_device(num_bytes: int, device: torch.device) -> torch.device:
    """Return where the embedding bank lives: beside the model, unless it would take a tenth of the GPU's memory."""
    if device.type == "cuda" and num_bytes > torch.cuda.get_device_properties(device).total_memory // 10:
        return torch.device("cpu")
    return device
