"""What a run leaves behind for later comparisons: its results query by query, small enough to keep many of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.directories import Built, SealedDirectory, WorkDirectory, is_sealed, open_sealed, read_json, write_json
from vixml.core.provenance import fingerprint_json
from vixml.data.items import items_fingerprint
from vixml.metrics.propensity import label_weights
from vixml.metrics.ranking import HEADLINE, QueryMetrics, query_metrics
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams

if TYPE_CHECKING:
    import pandas as pd

KIND = "result"
"""Kind of the sealed directory of one run."""

DEPTH = 10
"""Predictions kept of each query."""

WORK = "runs_work"
"""Part of a variant's work folder in which its run is archived."""

TRACKER_NOTE = "tracker.json"
"""File that the tracking shell leaves in that part: `run_id`, `git.commit` of the tracker's run."""

_CURVE_RECORDS = 2_000
_STAMP = "%Y%m%dT%H%M%S.%f"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredRun:
    """Read-only handle of one archived run; arrays are read when they are asked for.

    Args:
        path: Its directory.
        document: `id`, `name`, `mlflow_id`, `created`, `test_set`, `metrics`, `settings`, `curve`, `refreshes`.
    """

    path: Path
    document: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Name of the directory: time in UTC and a hash; sorts by age."""
        return str(self.document["id"])

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Predicted labels, best first, int32 [n, at most 10]; -1 is padding."""
        return np.asarray(np.load(self.path / "labels.npy", allow_pickle=False))

    @cached_property
    def metrics(self) -> QueryMetrics:
        """Headline metrics of every query."""
        with np.load(self.path / "metrics.npz", allow_pickle=False) as arrays:
            parts: dict[str, dict[str, NDArray[np.float64]]] = {"values": {}, "best": {}}
            for key in arrays.files:
                part, _, name = key.partition("/")
                parts[part][name] = arrays[key].astype(np.float64)
        return QueryMetrics(**parts)


@dataclass(frozen=True)
class RunArchive:
    """All archived runs of a variant.

    Args:
        variant: Its name.
        runs: The runs, newest first.
    """

    variant: str
    runs: Sequence[StoredRun]


def stored_runs(folder: Path) -> list[StoredRun]:
    """Return the complete runs in `folder`, newest first."""
    found = sorted((path for path in folder.glob("[!.]*") if is_sealed(path)), reverse=True)
    return [StoredRun(path, read_json(open_sealed(path, kind=KIND).path / "result.json")) for path in found]


def identify_test_set(
    items_test: pd.DataFrame, items_label: pd.DataFrame, relevance: sp.csr_matrix, exclude: sp.csr_matrix
) -> dict[str, Any]:
    """Return what makes results comparable: hashes of test queries, labels, true pairs and filter, and the sizes."""
    return {
        "queries": items_fingerprint(items_test)[:16],
        "labels": items_fingerprint(items_label)[:16],
        "relevance": _matrix_hash(relevance),
        "filter": _matrix_hash(exclude),
        "num_queries": int(relevance.shape[0]),
        "num_labels": int(relevance.shape[1]),
        "num_pairs": int(relevance.nnz),
    }


def archive_run(
    params: VariantParams,
    evaluation: EvaluationParams,
    *,
    seed: int,
    name: str,
    result: Mapping[str, Any],
    predictions: SealedDirectory,
    curve: Sequence[Mapping[str, Any]],
    refreshes: Sequence[Mapping[str, Any]],
    relevance_train: sp.csr_matrix,
    relevance_test: sp.csr_matrix,
    test_set: Mapping[str, Any],
    work: WorkDirectory,
) -> Built:
    """Collect one run's results in a small directory: about 90 bytes a test query before compression.

    Args:
        params: Settings of the variant.
        evaluation: Metric depths and propensity model.
        seed: Root of the random numbers.
        name: Name that the user gave the run; empty for none.
        result: Metrics document of the variant.
        predictions: Published predictions with `labels.npy` int32 [n, k].
        curve: Records of the training.
        refreshes: A record of every refresh of the hard negatives.
        relevance_train: Training relevance [N, L], for the propensities.
        relevance_test: Ground truth [n, L].
        test_set: Result of `identify_test_set`.
        work: Work directory; may hold a note of the tracker, which is taken out.
    """
    labels = np.load(predictions.path / "labels.npy", allow_pickle=False)
    weights = label_weights(relevance_train, evaluation)
    measured = query_metrics(labels.astype(np.int64), relevance_test, weights, evaluation.ks)
    folder = work.fresh("result")
    np.save(folder / "labels.npy", labels[:, :DEPTH].astype(np.int32), allow_pickle=False)
    values = {f"values/{key}": measured.values[key].astype(np.float32) for key in HEADLINE if key in measured.values}
    best = {f"best/{key}": measured.best[key].astype(np.float32) for key in HEADLINE if key in measured.best}
    np.savez_compressed(folder / "metrics.npz", **values, **best)  # type: ignore[arg-type]
    tracker = _take_note(work.path / TRACKER_NOTE)
    settings = {**params.model_dump(mode="json"), "evaluation": evaluation.model_dump(mode="json"), "seed": seed}
    created = datetime.now(UTC)
    key = fingerprint_json([settings, hashlib.sha256(labels.tobytes()).hexdigest(), created.isoformat()])
    document = {
        "id": _id(created, key[:6]),
        "name": name,
        "mlflow_id": str(tracker.get("run_id", "")),
        "git_commit": str(tracker.get("git.commit", "")),
        "created": created.isoformat(timespec="seconds"),
        "test_set": dict(test_set),
        "result": dict(result),
        "settings": settings,
        "curve": list(curve[:: max(1, -(-len(curve) // _CURVE_RECORDS))]),
        "refreshes": [dict(record) for record in refreshes],
    }
    write_json(folder / "result.json", document)
    return Built(folder, KIND, {"id": document["id"], "name": document["name"]})


def in_order(built: Built, newest: str) -> Built:
    """Return a run whose id sorts behind the newest one's, as ids count as ages: a clock may have been set back.

    Args:
        built: The run.
        newest: Id of the newest run that is there.
    """
    own = str(built.meta["id"])
    if own >= newest:
        return built
    try:
        after = datetime.strptime(newest.rpartition("-")[0], _STAMP) + timedelta(milliseconds=1)
    except ValueError:  # not an id of ours
        return built
    later = _id(after, own.rpartition("-")[2])
    _log.warning("The clock is behind the newest stored run, %s: this run is stored as %s.", newest, later)
    write_json(built.path / "result.json", {**read_json(built.path / "result.json"), "id": later})
    return Built(built.path, built.kind, {**built.meta, "id": later})


def _id(created: datetime, key: str) -> str:
    return f"{created:%Y%m%dT%H%M%S}.{created.microsecond // 1000:03d}-{key}"


def _take_note(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(file) if file.is_file() else {}
    file.unlink(missing_ok=True)
    return found


def _matrix_hash(matrix: sp.csr_matrix) -> str:
    canonical = sp.csr_matrix(matrix, copy=True)
    canonical.sum_duplicates()
    canonical.eliminate_zeros()
    digest = hashlib.sha256(repr(canonical.shape).encode())
    digest.update(canonical.indptr.astype(np.int64).tobytes())
    digest.update(canonical.indices.astype(np.int64).tobytes())
    return digest.hexdigest()[:16]
