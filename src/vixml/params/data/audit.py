"""Parameters of the label audit."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params
from vixml.params.ranking import CalibrationParams, EvidenceParams


class UnseenParams(Params):
    """How labels of training queries are ranked by evidence that has not seen the query or its pairs."""

    folds: int = Field(4, ge=2)
    """Number of folds of the training queries; each fold is ranked only by evidence from the others."""
    evidence: EvidenceParams = EvidenceParams()
    """Parts of the ranking and how they are weighed. Trained label vectors are none of them: they have seen the
    pairs."""
    calibration: CalibrationParams = CalibrationParams()
    """How its scores become probabilities."""


class LabelAuditParams(UnseenParams):
    """Which training pairs the pipeline `label_audit` examines, and how many changes it proposes."""

    max_queries: int | None = Field(20_000, ge=1)
    """Number of training queries to audit, spread evenly over all; null audits all. All training queries serve as
    evidence."""
    proposals: int = Field(1000, ge=1)
    """Number of proposals of each kind, strongest first."""
    min_probability: float = Field(0.5, ge=0, le=1)
    """Probability from which an unlabelled pair counts as probably missing when the report counts doubtful mined
    negatives."""
    min_support: int = Field(5, ge=1)
    """Number of other training queries that a label needs before one of its pairs can be called wrong; for rarer labels
    the evidence is too weak."""
    shown: int = Field(100, ge=0)
    """Number of proposals of each kind that the page shows with pictures."""
