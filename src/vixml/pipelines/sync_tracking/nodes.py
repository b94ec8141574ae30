"""Nodes of the `sync_tracking` pipeline."""

from __future__ import annotations

from typing import Any


def sync_tracking(records: dict[str, Any] | None, metrics: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Give MLflow what it lacks of one variant's runs."""
    from vixml.tracking.store import current
    from vixml.tracking.sync import sync_variant

    return sync_variant(current(), (records or {}).get("runs", []), metrics)


def gather_reports(*reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the reports of all variants into one, with the runs of killed processes, which are marked as such."""
    from vixml.tracking.store import current
    from vixml.tracking.sync import end_lost_runs

    return [*(run for report in reports for run in report), *end_lost_runs(current())]
