"""Delivers to MLflow what a dead or slow server did not take: files are the truth, MLflow gets what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError
from vixml.core.redact import redact
from vixml.tracking.curve_uploader import curve_points
from vixml.tracking.facts import safe_name
from vixml.tracking.record import fingerprint_of
from vixml.tracking.runs import log_result
from vixml.tracking.store import Store

CURVE_FILE = "curve.jsonl"


def sync_variant(
    store: Store, records: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Give the store what it lacks of a variant's runs; a second call changes nothing.

    Args:
        store: MLflow.
        records: Records of the variant's runs (see `RunRecords`), newest last.
        metrics: The variant's document of results, None where there is none.

    Returns:
        For each run its name and key, whether it was created, and how many parameters and points were added.

    Raises:
        StateError: MLflow does not answer.
    """
    trained = [record["key"] for record in records if record.get("trained")]
    try:
        return [
            _sync_run(store, record, metrics, _curve_of(record) if record["key"] in trained[-1:] else None)
            for record in records
        ]
    except Exception as err:  # whatever a client, a driver or a server raises means the same here
        raise StateError(
            "MLflow does not take the records",
            found=redact(f"{store.uri}: {err}"),
            remedy="start the server, or name another one in conf/local/mlflow.yml; then run this again.",
        ) from err


def _curve_of(record: Mapping[str, Any]) -> Path | None:
    """Return the file of a run's learning curve, which the next training of its variant replaces."""
    return Path(record["curve"]) if "curve" in record else None


def _sync_run(
    store: Store, record: Mapping[str, Any], metrics: Mapping[str, Any] | None, curve: Path | None
) -> dict[str, Any]:
    run = store.find(record["key"])
    report = {"name": record["name"], "key": record["key"], "created": run is None, "status": record.get("status")}
    if run is None:
        above = record.get("above")
        run = store.create(record, (store.find(above["key"]) or store.create(above)) if above else None)
    present = store.client.get_run(run)
    missing = {key: value for key, value in record["params"].items() if key not in present.data.params}
    store.add_params(run, missing)
    points = _missing_points(store, run, curve)
    store.add_metrics(run, points)
    model = record.get("model")
    made = metrics is not None and record.get("metrics") == fingerprint_of(metrics)
    finished = made and "mlflow.note.content" not in present.data.tags
    if finished and metrics is not None:
        log_result(store, run, record["name"], metrics, model)
        store.document(run, dict(metrics), "reports/metrics.json")
    if record.get("status", "RUNNING") != "RUNNING" and present.info.status == "RUNNING":
        store.client.set_terminated(run, record["status"], end_time=record.get("ended"))
    return {**report, "parameters": len(missing), "points": len(points), "results": finished}


def _missing_points(store: Store, run: str, curve: Path | None) -> list[tuple[str, float, int]]:
    points = list(curve_points(curve)) if curve is not None else []
    known = {
        name: {point.step for point in store.client.get_metric_history(run, safe_name(name))}
        for name in dict.fromkeys(name for name, _, _ in points)
    }
    return [point for point in points if point[2] not in known[point[0]]]
