"""Nodes of `label_audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from vixml.configuration.compose import VARIANTS
from vixml.core.directories import SealedDirectory, WorkDirectory
from vixml.core.workspace import works_in
from vixml.data.dataset import Dataset
from vixml.params.data.audit import LabelAuditParams
from vixml.params.evaluation import EvaluationParams


@works_in("label_audit_work")
def audit_labels(
    params: LabelAuditParams,
    evaluation: EvaluationParams,
    dataset: Dataset,
    image_bank: SealedDirectory | None,
    *mined: SealedDirectory | None,
    work: WorkDirectory,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Propose pairs to add and to take out, and count the mined negatives that are probably labels."""
    from vixml.audit import audit

    negatives = dict(zip(VARIANTS, mined, strict=True))
    return audit.audit_labels(params, evaluation, dataset, mined=negatives, work=work, image_bank=image_bank)


def write_page(
    params: LabelAuditParams, table: pd.DataFrame, report: dict[str, Any], raw: Path, dataset: Dataset, name: str
) -> str:
    """Show the proposals with pictures."""
    from vixml.reporting.audit_page import render_audit

    return render_audit(
        table,
        report,
        queries=dataset.items("train"),
        labels=dataset.items("label"),
        relevance=dataset.relevance("train"),
        root=raw,
        shown=params.shown,
        name=name,
    )
