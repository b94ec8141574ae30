"""Parameters of the label audit."""

from __future__ import annotations

from pydantic import Field

from vixml.params.base import Params
from vixml.params.ranking import CalibrationParams, EvidenceParams


class LabelAuditParams(Params):
    """Which training pairs the pipeline `label_audit` looks at, and how many it proposes to change."""

    folds: int = Field(4, ge=2)
    """Parts that the training queries are divided into; each part is ranked by the evidence of the others alone."""
    max_queries: int | None = Field(20_000, ge=1)
    """Training queries that are audited, spread evenly over all; null takes all. All of them are evidence."""
    proposals: int = Field(1000, ge=1)
    """Proposals of each kind, the strongest ones."""
    min_probability: float = Field(0.5, ge=0, le=1)
    """From this probability on, a pair without a label counts as one that is probably missing, where the report says
    how many mined negatives are such."""
    min_support: int = Field(5, ge=1)
    """Other training queries that a label needs before one of its pairs is called wrong: the evidence about a rarer
    label says nothing."""
    shown: int = Field(100, ge=0)
    """Proposals of each kind that the page shows with pictures."""
    evidence: EvidenceParams = EvidenceParams()
    """Parts of the ranking and how they are weighed. Trained vectors are none of them: they have seen the pairs."""
    calibration: CalibrationParams = CalibrationParams()
    """How its scores become probabilities."""
