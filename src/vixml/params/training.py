"""Settings of the training loop and its optimiser."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from vixml.core.errors import ConfigError
from vixml.params.base import Params, Processes

Resume = Literal["auto", "force", "never"]
"""The top-level parameter `resume`: continue a checkpoint if it is of the same training, in any case, or not at all."""


class TrainingParams(Params):
    """Length of a training, its validation and its checkpoints."""

    epochs: int = Field(150, ge=0)
    """Passes over the training queries, both stages together."""
    max_epoch_steps: int = Field(0, ge=0)
    """Steps of an epoch, at most: a trial of a long training; 0 takes all training queries."""
    validate_every: int = Field(5, ge=0)
    """Epochs between two validations if there is a validation split, plus one after the last epoch; 0 never."""
    checkpoint_every: int = Field(10, ge=0)
    """Epochs between two checkpoints inside a stage; 0 for none. A rerun continues from the newest."""
    checkpoint_minutes: float = Field(10, ge=0)
    """Minutes between two checkpoints, also within an epoch; 0 for none."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of checkpoints of a stage that are kept; they are removed when the variant is trained."""
    log_every: int = Field(0, ge=0)
    """Steps between two records of the loss within an epoch; 0 for a twentieth of an epoch."""
    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ..."""
    processes: Processes = 1
    """Processes on this machine that train and embed together, one GPU each; `auto` is one for each GPU."""
    machines: int = Field(1, ge=1)
    """Machines that train and embed together; the others run `vixml join HOST:PORT`."""
    rendezvous: str = ""
    """`HOST:PORT` of this machine where several machines meet."""


class OptimParams(Params):
    """AdamW with a linear warm-up and a linear decay to zero over all epochs of both stages."""

    lr: float = Field(2e-4, gt=0)
    """Peak learning rate of the backbone."""
    lr_other: float = Field(5e-4, gt=0)
    """Peak learning rate of projection, combiner and free vectors."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay; biases, norm weights and free vectors have none."""
    eps: float = Field(1e-6, gt=0)
    """AdamW's epsilon."""
    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warm-up; at most a tenth of all steps."""
    clip_norm: float | None = Field(None, gt=0)
    """Gradient-norm clipping; `null` for none (decoders: 1.0)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of the network's matrix products; `auto` is bf16 if the hardware supports it, otherwise fp32."""


def check_resume(value: object) -> Resume:
    """Return the parameter `resume`.

    Raises:
        ConfigError: It is none of the known words.
    """
    for known in get_args(Resume):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError("unknown value of the parameter `resume`", found=value, expected=", ".join(get_args(Resume)))
