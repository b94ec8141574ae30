"""Settings of the training objective."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vixml.params.base import Params

LabelSideKind = Literal["prototype", "auxiliary", "text"]
"""How a label is represented: see `vixml.models.label_side`."""

ObjectiveName = Literal["prime", "dexa", "ngame", "decoupled_softmax", "infonce"]

OBJECTIVES: dict[ObjectiveName, LabelSideKind] = {
    "ngame": "text",
    "dexa": "auxiliary",
    "prime": "prototype",
    "decoupled_softmax": "text",
    "infonce": "text",
}
"""Objective -> how it represents a label, in the order of the ablation's tables."""


class StudentParams(Params):
    """How a student learns from a teacher's soft labels (pipeline `distillation`; no effect elsewhere)."""

    weight: float = Field(1.0, ge=0)
    """Weight of the soft cross-entropy, relative to the objective's own loss."""
    temperature: float = Field(0.05, gt=0)
    """Temperature of the student's similarities in the soft cross-entropy."""
    spare_above: float | None = Field(None, gt=0, lt=1)
    """An unlabelled pair that the teacher finds at least this likely is no negative: its label is probably missing from
    the data. `null`: every unlabelled pair is one."""
    drawn_per_query: int = Field(1, ge=0)
    """Number of soft labels drawn per query and step, in proportion to their probability, and added to the pool."""


class ObjectiveParams(Params):
    """The loss, and with it the representation of labels (docs/explanation/objectives.md)."""

    name: ObjectiveName = "prime"
    """PRIME (prototypes), DEXA (auxiliary vectors), NGAME (label texts alone), or a softmax over the pool with each
    positive separately (decoupled, DEXML) or one drawn positive (InfoNCE)."""
    num_negatives: int = Field(10, ge=1)
    """Hardest in-pool negatives per row (`prime`, `dexa`, `ngame`)."""
    margin_min: float = Field(0.1, ge=0)
    """Lower bound of `prime`'s dynamic margin (cosine units)."""
    margin_max: float = Field(0.3, ge=0)
    """Upper bound of `prime`'s dynamic margin; equal to `margin_min` for a fixed one."""
    margin: float = Field(0.3, ge=0)
    """Fixed margin of `dexa` and `ngame` (cosine units)."""
    temperature: float | None = Field(0.1, gt=0)
    """Softmax temperature of the weights over violating negatives (`prime`, `dexa`, `ngame`); `null`: equal weights of
    1."""
    softmax_temperature: float = Field(0.05, gt=0)
    """Temperature of the similarities in `decoupled_softmax` and `infonce`."""
    regulariser_weight: float = Field(0.1, ge=0)
    """Weight of `prime`'s regulariser in the sum."""
    regulariser_margin: float = Field(0.1, ge=0)
    """Margin by which `prime`'s prototypes should beat label texts (cosine units)."""
    distillation: StudentParams = StudentParams()
    """How a student learns from a teacher."""

    @model_validator(mode="after")
    def _margins_ordered(self) -> ObjectiveParams:
        if self.margin_min > self.margin_max:
            raise ValueError(f"margin_min {self.margin_min} is above margin_max {self.margin_max}")
        return self

    @property
    def label_side(self) -> LabelSideKind:
        """What stands for a label in this objective."""
        return OBJECTIVES[self.name]
