"""Delivers to MLflow what a dead or slow server did not take: files are the truth, MLflow gets what it lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vixml.claims.claim import is_at_work
from vixml.claims.process import ProcessIdentity, this_process
from vixml.core.errors import StateError
from vixml.core.redact import redact
from vixml.core.storage import storage_error
from vixml.tracking.curve_uploader import curve_points
from vixml.tracking.facts import safe_name
from vixml.tracking.record import fingerprint_of
from vixml.tracking.runs import log_result
from vixml.tracking.store import KEY, PROCESS, Store

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
        For each run its name and key, whether it was created, and how many parameters and points were added. A run
        that is at work delivers by itself and is left alone.

    Raises:
        StateError: MLflow does not answer.
    """
    trained = [record["key"] for record in records if record.get("trained")]
    with _in_one_sentence(store):
        return [
            _sync_run(store, record, metrics, _curve_of(record) if record["key"] in trained[-1:] else None)
            for record in records
            if record.get("status", "RUNNING") != "RUNNING" or _has_ended(record.get("tags") or {})
        ]


def end_lost_runs(store: Store) -> list[dict[str, Any]]:
    """Mark the runs as killed whose process is gone without having said so; return their names and keys.

    Raises:
        StateError: MLflow does not answer.
    """
    with _in_one_sentence(store):
        lost = {run: tags for run, tags in store.open_runs().items() if PROCESS in tags and _has_ended(tags)}
        for run in lost:
            store.client.set_terminated(run, "KILLED")
    return [
        {"name": tags.get("mlflow.runName", ""), "key": tags.get(KEY, ""), "created": False, "status": "KILLED"}
        for tags in lost.values()
    ]


def process_tag(claims: Path) -> str:
    """Return the value of the tag that says which process a run is of.

    Args:
        claims: Folder of that process's claims.
    """
    return json.dumps({**this_process().as_document(), "claims": claims.absolute().as_posix()})


def _has_ended(tags: Mapping[str, str]) -> bool:
    """Return whether the process of a run is gone; one that is not named is of an earlier version, and long gone."""
    try:
        document = json.loads(tags[PROCESS])
        process = ProcessIdentity.of(document)
        return process is None or not is_at_work(process, Path(document["claims"]))
    except (KeyError, ValueError, TypeError):
        return True


@contextmanager
def _in_one_sentence(store: Store) -> Iterator[None]:
    try:
        yield
    except Exception as err:  # whatever a client, a driver or a server raises means the same here
        full = storage_error(err)
        if full is not None:
            raise full from err
        raise StateError(
            "MLflow does not accept the records",
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
    status = record.get("status", "RUNNING")
    status = "KILLED" if status == "RUNNING" else status  # it cannot have said so itself
    report = {"name": record["name"], "key": record["key"], "created": run is None, "status": status}
    above = record.get("above")
    parent = (store.find(above["key"]) or store.create(above)) if above else None
    run = run or store.create(record, parent)
    present = store.client.get_run(run)
    missing = {key: value for key, value in record["params"].items() if key not in present.data.params}
    store.add_params(run, missing)
    if present.inputs is None or not present.inputs.dataset_inputs:
        store.add_data(run, record.get("tags") or {})
    points = _missing_points(store, run, curve)
    store.add_metrics(run, points)
    model = record.get("model")
    made = metrics is not None and record.get("metrics") == fingerprint_of(metrics)
    finished = made and "mlflow.note.content" not in present.data.tags
    if finished and metrics is not None:
        store.document(run, dict(metrics), "reports/metrics.json")
        log_result(store, run, record["name"], metrics, model, record.get("tags") or {})  # the description comes last
    if present.info.status == "RUNNING":
        store.client.set_terminated(run, status, end_time=record.get("ended"))
    if parent is not None and "session" in record and store.client.get_run(parent).info.status == "RUNNING":
        store.client.set_terminated(parent, record["session"], end_time=record.get("ended"))
    return {**report, "parameters": len(missing), "points": len(points), "results": finished}


def _missing_points(store: Store, run: str, curve: Path | None) -> list[tuple[str, float, int]]:
    points = list(curve_points(curve)) if curve is not None else []
    known = {
        name: {point.step for point in store.client.get_metric_history(run, safe_name(name))}
        for name in dict.fromkeys(name for name, _, _ in points)
    }
    return [point for point in points if point[2] not in known[point[0]]]
