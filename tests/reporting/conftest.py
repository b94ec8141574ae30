"""A small study: a test set with pictures, and archived runs of any quality on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from PIL import Image

from vixml.calibration.calibration import Calibration
from vixml.calibration.fit import fit_calibration
from vixml.configuration.compose import VARIANTS
from vixml.core.directories import Built, WorkDirectory, publish
from vixml.datasets import RunArchiveDataset
from vixml.evaluation.archive import StoredRun, archive_run
from vixml.evaluation.probabilities import probability_report
from vixml.params.comparison import ComparisonParams
from vixml.params.evaluation import EvaluationParams
from vixml.params.ranking import CalibrationParams
from vixml.params.variant import VariantParams
from vixml.reporting.compare import TestSet, compare_runs

NASTY = '<img src=x onerror="window.broken=1"></script><script>window.broken=1</script> & "quoted" | pipe'
EVALUATION = EvaluationParams(ks=(1, 3, 5, 10), top_k=10)


@dataclass
class Study:
    """A test set and the archives of the four variants."""

    folder: Path
    data: TestSet
    archives: dict[str, list[StoredRun]] = field(default_factory=lambda: {name: [] for name in VARIANTS})

    def add(
        self, variant: str, quality: float, *, seed: int = 0, name: str = "", data: TestSet | None = None
    ) -> StoredRun:
        """Archive a run that ranks a true label first with probability `quality`."""
        data, draw = data or self.data, np.random.default_rng([seed, len(variant)])
        labels = np.stack([draw.permutation(data.relevance.shape[1])[:10] for _ in range(len(data.items))])
        for row in np.flatnonzero(draw.random(len(labels)) < quality):
            labels[row] = np.roll(sorted(labels[row], key=lambda label: data.relevance[row, label]), 1)
            true = data.relevance.indices[data.relevance.indptr[row]]
            if true not in labels[row]:
                labels[row, 0] = true
        work = WorkDirectory(self.folder / variant / "work")
        folder = work.fresh("predictions")
        np.save(folder / "labels.npy", labels.astype(np.int32))
        predictions = publish(Built(folder, "predictions", {}), self.folder / variant / "predictions")
        archive = RunArchiveDataset(filepath=str(self.folder / variant / "runs"))
        archive.save(
            archive_run(
                VariantParams.model_validate({"optim": {"lr": 1e-3 if "decoder" in variant else 1e-4}}),
                EVALUATION,
                seed=seed,
                name=name,
                result=self.result(labels, data, images="vision" in variant),
                predictions=predictions,
                curve=[
                    {"step": step, "epoch": step, "loss": 1 / step, "validation/P@1": step / 9} for step in range(1, 9)
                ],
                refreshes=[
                    {"epoch": 2, "positive_similarity": 0.5, "violation_rate": 0.25, "cluster_purity": 0.5},
                    {"epoch": 4, "positive_similarity": 0.6, "violation_rate": 0.35, "negatives_changed": 0.4},
                ],
                relevance_train=data.relevance_train,
                relevance_test=data.relevance,
                test_set=data.identity,
                work=work,
            )
        )
        self.archives[variant] = archive.load().runs
        return self.archives[variant][0]

    @staticmethod
    def result(labels: np.ndarray, data: TestSet, *, images: bool) -> dict:
        from vixml.metrics.propensity import inverse_propensity
        from vixml.metrics.ranking import ranking_metrics

        weights = inverse_propensity(data.frequencies, data.relevance_train.shape[0], 0.55, 1.5)
        metrics = ranking_metrics(labels.astype(np.int64), data.relevance, weights, EVALUATION.ks)
        same = {"metrics": metrics, "images": images, "seconds": {"training": 60.0}, "num_parameters": 1_000_000}
        return {**same, "probabilities": _probabilities(labels, data) if images else {"absent": "No validation."}}

    def compare(self, references: str = "latest", **params) -> dict:
        """Compare, and return the report as its file gives it back: keys in the order of the alphabet."""
        report = compare_runs(
            self.archives,
            references,
            ComparisonParams(bootstrap_samples=200, **params),
            data=self.data,
            baselines={"text kNN": {"P@1": 0.1}},
            dataset="shop",
            seed=0,
        )
        return json.loads(json.dumps(report, sort_keys=True))


def _probabilities(labels: np.ndarray, data: TestSet) -> dict:
    """Probabilities by rank, of the test queries themselves."""
    scores = np.broadcast_to(1 / np.arange(1, 11, dtype=np.float32), labels.shape)
    params = CalibrationParams(min_pairs=2, folds=2)
    calibration = fit_calibration(scores, labels, data.relevance, data.frequencies, params)
    assert isinstance(calibration, Calibration)
    return probability_report(
        calibration,
        calibration.probabilities(scores, labels, data.frequencies),
        labels,
        items=data.items,
        relevance=data.relevance,
        frequencies=data.frequencies,
    )


def make_test_set(root: Path, num_queries: int, num_labels: int, *, seed: int = 0) -> TestSet:
    """Make items, relevance and pictures; every fifth query has no picture, one picture is broken."""
    draw = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(23):
        file = f"images/{number}.png"
        Image.fromarray(draw.integers(0, 255, (3, 3, 3), dtype=np.uint8)).resize((160, 120), 0).save(root / file)
        files.append(file)
    (root / "images/broken.png").write_bytes(b"not a picture")
    files.append("images/broken.png")

    def items(prefix: str, count: int) -> pd.DataFrame:
        shown = [[files[(row * 7) % len(files)]] if row % 5 else [] for row in range(count)]
        texts = [NASTY if row == 1 else f"{prefix} number {row} ünïcode" for row in range(count)]
        return pd.DataFrame({"uid": [f"{prefix}{row}" for row in range(count)], "text": texts, "images": shown})

    def pairs(rows: int) -> sp.csr_matrix:
        skewed = (num_labels * draw.random((rows, 2)) ** 2).astype(int)
        indptr = np.repeat(np.arange(rows), 2)
        matrix = sp.csr_matrix(
            (np.ones(2 * rows), (indptr, skewed.ravel())), shape=(rows, num_labels), dtype=np.float32
        )
        matrix.data[:] = 1
        return matrix

    empty = sp.csr_matrix((num_queries, num_labels), dtype=np.float32)
    return TestSet(items("query", num_queries), items("label", num_labels), pairs(num_queries), empty, pairs(400))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """An empty study on 80 queries and 30 labels."""
    return Study(tmp_path, make_test_set(tmp_path / "raw", 80, 30))
