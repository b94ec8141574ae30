"""Parameters of the pipeline `teaching`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vixml.params.data.audit import UnseenParams

Teacher = Literal["evidence", "encoder_vision", "decoder_text", "decoder_vision"]


class DistillationParams(UnseenParams):
    """What the soft labels of the training queries are made of (pipeline `teaching`).

    How a student learns from them is `objective.distillation` of its variant.
    """

    teacher: Teacher = "evidence"
    """`evidence`: words, pretrained image vectors and labels of the other training queries; nothing has to be trained.
    A variant: the embeddings of its trained model as well, which have seen the pairs."""
    min_probability: float = Field(0.02, ge=0, le=1)
    """A label that is less likely than this is no soft label."""
