"""Settings of the training loop."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params


class TrainingParams(Params):
    """Length of a training, its validation and its checkpoints."""

    epochs: int = Field(150, ge=1)
    """Passes over the training queries, both stages together."""
    validate_every: int = Field(5, ge=0)
    """Epochs between two validations where there is a validation split, and one after the last; 0 never."""
    checkpoint_every: int = Field(10, ge=0)
    """Epochs between two checkpoints inside a stage; 0 none. A rerun continues at the newest."""
    device: str = "auto"
    """`auto` (GPU where there is one), `cpu`, `cuda`, `cuda:1`, ..."""
