"""Everything that a comparison finds out, as one JSON document: tables, figures and the HTML report only show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.configuration.compose import readable_name
from vixml.core.errors import ConfigError, StateError
from vixml.core.seeding import numpy_generator
from vixml.evaluation.archive import DEPTH, identify_test_set
from vixml.evaluation.confusions import confusions
from vixml.evaluation.significance import Bootstrap, paired_bootstrap
from vixml.evaluation.slices import (
    describe_groups,
    group_recall,
    label_coverage,
    never_predicted,
    query_masks,
    query_slices,
    text_bounds,
)
from vixml.metrics.groups import GROUPS, label_groups
from vixml.metrics.propensity import inverse_propensity, label_frequencies
from vixml.metrics.ranking import HEADLINE, query_metrics
from vixml.params.comparison import ComparisonParams
from vixml.reporting.selection import (
    Archives,
    ChosenRun,
    choose_runs,
    differing_parts,
    find_run,
    require_same_test_set,
)
from vixml.reporting.verdict import verdicts

if TYPE_CHECKING:
    import pandas as pd

DEPTHS = tuple(range(1, DEPTH + 1))
"""Depths of the curves of P and PSP."""

_TEXT = 240  # characters of a text


@dataclass(frozen=True)
class TestSet:
    """What the runs were measured on.

    Args:
        items: Test queries with columns uid, text, images; n rows.
        labels: Label items, L rows.
        relevance: Ground truth, CSR [n, L].
        exclude: Filter pairs, CSR [n, L].
        relevance_train: Training relevance, CSR [N, L]: frequencies of the labels.
    """

    __test__ = False  # not a test of pytest's

    items: pd.DataFrame
    labels: pd.DataFrame
    relevance: sp.csr_matrix
    exclude: sp.csr_matrix
    relevance_train: sp.csr_matrix

    @property
    def identity(self) -> dict[str, Any]:
        """Hashes and sizes; runs are comparable where they are equal."""
        return identify_test_set(self.items, self.labels, self.relevance, self.exclude)

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """Training points of each label, [L]."""
        return label_frequencies(self.relevance_train)


def select(
    archives: Archives, references: str, params: ComparisonParams, data: TestSet
) -> tuple[list[ChosenRun], list[str]]:
    """Return the runs to compare, and the labels of the baselines of the regression check among them."""
    identity = data.identity
    wanted = [part.strip() for part in params.baseline.split("+") if part.strip()]
    ids = []
    for reference in wanted:
        _, run = find_run(archives, reference)
        require_same_test_set(run, reference, identity)
        ids.append(run.id)
    chosen = choose_runs(archives, "+".join([str(references), *ids]), identity)
    return chosen, [entry.label for entry in chosen if entry.run.id in ids]


def compare_runs(
    archives: Archives,
    references: str,
    params: ComparisonParams,
    *,
    data: TestSet,
    baselines: Mapping[str, Any] | None,
    dataset: str,
    seed: int,
) -> dict[str, Any]:
    """Compare runs on one test set.

    Args:
        archives: Variant -> its runs, newest first.
        references: Which runs, see `choose_runs`.
        params: Bootstrap and regression check.
        data: The present test set.
        baselines: Metrics of the baselines, fractions.
        dataset: Name of the data set.
        seed: Root of the random numbers.

    Returns:
        `dataset`, `test_set`, `variants` (label -> metrics document), `runs` (label -> identity, settings, curve,
        refreshes), `order` (of the labels; a file sorts the rest by name), `missing`, `baselines`, `metrics` (those
        that all runs have), `intervals`, `pairs`, `depths`, `slices`, `errors` (of first labels), `regression`,
        `verdicts`. Metrics are fractions.
    """
    chosen, floor = select(archives, references, params, data)
    names = [name for name in HEADLINE if all(name in entry.run.metrics.values for entry in chosen)]
    if params.metric not in names:
        raise ConfigError("this metric was not kept", found=params.metric, expected="one of " + ", ".join(names))
    bootstrap = paired_bootstrap(
        {entry.label: entry.run.metrics for entry in chosen},
        names,
        samples=params.bootstrap_samples,
        confidence=params.confidence,
        generator=numpy_generator(seed, "bootstrap"),
    )
    report: dict[str, Any] = {
        "dataset": dataset,
        "test_set": data.identity,
        "variants": {entry.label: entry.run.document["result"] for entry in chosen},
        "runs": {entry.label: _identity(entry) for entry in chosen},
        "order": [entry.label for entry in chosen],
        "missing": _missing(archives, chosen, data.identity),
        "baselines": dict(baselines or {}),
        "metrics": names,
        "metric": params.metric,
        "confidence": params.confidence,
        "bootstrap_samples": params.bootstrap_samples,
        "intervals": {name: _intervals(bootstrap, name) for name in names},
        "pairs": {name: bootstrap.pairs(name) for name in names},
        "depths": _depths(chosen, data),
        "slices": _slices(chosen, data),
        "errors": {entry.label: _errors(entry, data) for entry in chosen},
        "regression": regression(chosen, floor, bootstrap, params),
    }
    return {**report, "verdicts": verdicts(report)}


def regression(
    chosen: Sequence[ChosenRun], floor: Sequence[str], bootstrap: Bootstrap, params: ComparisonParams
) -> dict[str, Any]:
    """Compare every run with the baseline runs of its variant.

    Returns:
        `metric`, `max_drop` (points), `checks` (run, baseline, change in points with its interval, `ok`), `ok`.

    Raises:
        StateError: There is a baseline, but no other run of its variant to check.
    """
    position = {label: index for index, label in enumerate(bootstrap.runs)}
    pairs = bootstrap.pairs(params.metric)
    variant = {entry.label: entry.variant for entry in chosen}
    checks = []
    for baseline in floor:
        for label in (name for name in variant if name not in floor and variant[name] == variant[baseline]):
            at = position[label], position[baseline]
            change, low, high = (100 * pairs[key][at[0]][at[1]] for key in ("difference", "low", "high"))
            checks.append(
                {
                    "run": label,
                    "baseline": baseline,
                    "change": change,
                    "low": low,
                    "high": high,
                    "ok": change >= -params.max_drop,
                }
            )
    if floor and not checks:
        raise StateError(
            "there is no run to check against the baseline",
            found=f"baseline {params.baseline}",
            expected="another run of the same variant among `runs`",
            remedy="train or evaluate the variant again, then compare; or name its run in `runs`.",
        )
    return {
        "metric": params.metric,
        "max_drop": params.max_drop,
        "checks": checks,
        "ok": all(check["ok"] for check in checks),
    }


def require_no_regression(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the regression check of a comparison report.

    Raises:
        StateError: A run is too far below its baseline.
    """
    found: dict[str, Any] = report["regression"]
    if not found["ok"]:
        metric = found["metric"]
        worse = [
            f"{check['run']} {check['change']:+.2f} points against {check['baseline']} "
            f"(interval {check['low']:+.2f} to {check['high']:+.2f})"
            for check in found["checks"]
            if not check["ok"]
        ]
        raise StateError(
            f"regression: {metric} fell by more than {found['max_drop']:g} points",
            found="; ".join(worse),
            expected=f"at most {found['max_drop']:g} points below the baseline",
            remedy="look at report.html of this comparison; `comparison.max_drop` is the limit.",
        )
    return found


def _missing(archives: Archives, chosen: Sequence[ChosenRun], test_set: Mapping[str, Any]) -> list[str]:
    """Return the variants that no run on this test set exists of; one that was only not asked for is not missing."""
    there = {entry.variant for entry in chosen}
    measured = {name for name, runs in archives.items() if any(not differing_parts(run, test_set) for run in runs)}
    return [readable_name(name) for name in archives if name not in there | measured]


def _identity(entry: ChosenRun) -> dict[str, Any]:
    document = entry.run.document
    kept = ("id", "name", "mlflow_id", "git_commit", "created", "settings", "curve")
    refreshes = document.get("refreshes", [document["refresh"]] if "refresh" in document else [])  # older runs
    known = {key: document[key] for key in kept}
    vision = document["result"].get("vision_model")  # of the image bank that was read; older runs do not know it
    teacher = document["result"].get("teacher")  # of the soft labels that a student learned
    settings = document["settings"] | ({} if vision is None else {"vision": {"model": vision}})
    settings = settings | ({} if teacher is None else {"distillation": {"teacher": teacher}})
    return {"variant": entry.variant, **known, "settings": settings, "refreshes": refreshes}


def _intervals(bootstrap: Bootstrap, metric: str) -> dict[str, list[float]]:
    low, high = bootstrap.interval(metric)
    return {run: [float(low[at]), float(high[at])] for at, run in enumerate(bootstrap.runs)}


def _depths(chosen: Sequence[ChosenRun], data: TestSet) -> dict[str, Any]:
    """Return P@k and PSP@k of every run at every depth, as each run's own propensity model has it."""
    curves: dict[str, Any] = {"k": list(DEPTHS), "P": {}, "PSP": {}}
    for entry in chosen:
        model = entry.run.document["settings"]["evaluation"]
        weights = inverse_propensity(
            data.frequencies, data.relevance_train.shape[0], model["propensity_a"], model["propensity_b"]
        )
        means = query_metrics(entry.run.labels.astype(np.int64), data.relevance, weights, DEPTHS).mean()
        for name in ("P", "PSP"):
            curves[name][entry.label] = [means[f"{name}@{k}"] for k in DEPTHS]
    return curves


def short_text(items: pd.DataFrame, row: int) -> str:
    """Return the text of an item as a report shows it."""
    return beginning(str(items["text"].iloc[row]), _TEXT)


def _errors(entry: ChosenRun, data: TestSet) -> dict[str, Any]:
    """Return what a run's wrong first labels are confused with, by the texts of labels and queries."""
    texts = data.labels["text"].astype(str).tolist()
    found = confusions(entry.run.labels, data.relevance, texts=texts, relevance_train=data.relevance_train)
    sides = {"predicted": data.labels, "true": data.labels, "query": data.items}
    found["pairs"] = [
        {**pair, **{key: short_text(items, pair[key]) or items["uid"].iloc[pair[key]] for key, items in sides.items()}}
        for pair in found["pairs"]
    ]
    return found


def _slices(chosen: Sequence[ChosenRun], data: TestSet) -> dict[str, Any]:
    groups, masks, num_labels = label_groups(data.frequencies), query_masks(data.items), len(data.frequencies)
    return {
        "groups": list(GROUPS),
        "described": describe_groups(data.frequencies, groups),
        "recall": {entry.label: group_recall(entry.run.labels, data.relevance, groups) for entry in chosen},
        "words": list(text_bounds(data.items)),
        "never": {entry.label: never_predicted(entry.run.labels[:, :5], num_labels) for entry in chosen},
        "coverage": {entry.label: label_coverage(entry.run.labels[:, :5], data.relevance) for entry in chosen},
        "queries": {entry.label: query_slices(entry.run.metrics, masks) for entry in chosen},
    }


def beginning(text: str, most: int) -> str:
    """Return a text of at most so many letters: the whole of it, or its beginning and an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
