"""The comparison of variants and baselines as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vixml.core.errors import StateError
from vixml.evaluation.slices import IMAGES, TEXTS
from vixml.metrics.groups import GROUPS
from vixml.metrics.ranking import HEADLINE
from vixml.reporting.verdict import headline

if TYPE_CHECKING:
    import pandas as pd

METRICS = HEADLINE
"""Metrics of the table, in its order; those that were not computed are left out."""

_FIRST = METRICS[0]
_COSTS = ("minutes", "GiB", "M parameters", "ms/query")
_BOUNDS = ("low", "high")


def comparison_table(
    results: Mapping[str, Mapping[str, Any] | None],
    baselines: Mapping[str, Any] | None,
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    *,
    metric: str = _FIRST,
) -> pd.DataFrame:
    """Return one row a baseline and a variant: metrics in percent, slices, cost, bounds of the metrics' intervals.

    Args:
        results: Metrics document of each variant (`metrics` as fractions, `seconds`, `num_parameters`,
            `peak_memory_bytes`); None where the variant has not been run.
        baselines: Metrics (fractions) of each baseline; with `queries` where it was measured on some of them only.
        intervals: Metric -> variant -> bounds (fractions).
        metric: Metric of the slices of queries.

    Raises:
        StateError: No variant has been run.
    """
    import pandas as pd

    present = {name: document for name, document in results.items() if document}
    if not present:
        raise StateError(
            "there is nothing to compare: no variant has been evaluated on this data set",
            remedy=f"run one first, for instance `kedro run --pipelines={next(iter(results), 'encoder_text')}`.",
        )
    rows = [
        {"model": _baseline_name(name, found), "kind": "baseline", **_percents(_metrics(found))}
        for name, found in (baselines or {}).items()
    ]
    rows += [
        {
            "model": name,
            "kind": "variant",
            **_percents(_metrics(document)),
            **_slices(document, metric),
            **_costs(document),
            **_bounds(name, intervals or {}),
        }
        for name, document in present.items()
    ]
    table = pd.DataFrame(rows)
    bounds = [f"{name} {bound}" for name in METRICS for bound in _BOUNDS]
    columns = (*METRICS, *_slice_names(metric), *_COSTS, *bounds)
    return table[["model", "kind", *(name for name in columns if name in table)]]


def numeric_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that a printed table shows behind the model: metrics and cost, without slices and bounds."""
    return [name for name in (*METRICS, *_COSTS) if name in table]


def print_table(table: pd.DataFrame, *, report: Mapping[str, Any]) -> None:
    """Print the comparison on standard output, the best variant of each metric in bold, slices, and the verdict."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # in a file or a pipe nothing may be cut off
        console = Console(width=max(console.width, 160))

    def show(rows: pd.DataFrame, title: str, numbers: list[str]) -> None:
        shown = Table(title=f"{report['dataset']}: {title}", title_justify="left")
        shown.add_column("model", no_wrap=True)
        for name in numbers:
            shown.add_column(name, justify="right", no_wrap=name in METRICS)
        best = rows.loc[rows["kind"] == "variant", numbers].max()
        for row in rows.to_dict("records"):
            cells = []
            for name in numbers:
                value = row[name]
                bold = name in METRICS and row["kind"] == "variant" and value == best[name]
                text = "" if math.isnan(value) else f"{value:.2f}"
                cells.append(f"[bold]{text}[/bold]" if bold else text)
            shown.add_row(str(row["model"]), *cells, style="dim" if row["kind"] == "baseline" else None)
        console.print(shown)

    show(table, "metrics in percent", numeric_columns(table))
    if slices := [name for name in _slice_names(report.get("metric", _FIRST)) if name in table]:
        show(table[table["kind"] == "variant"], "where it works, percent", slices)
    for number, whole in enumerate(headline(report)):
        sentence = whole.partition(" To try:")[0] if number else whole  # what to try is the same for each metric
        console.print(sentence, highlight=False, style="yellow" if " BELOW " in sentence else None)
    if report["missing"]:
        console.print(f"Not evaluated yet: {', '.join(report['missing'])}.")


def _baseline_name(name: str, metrics: Mapping[str, float]) -> str:
    return f"{name}, {metrics['queries']:,.0f} queries" if "queries" in metrics else name


def _metrics(document: Mapping[str, Any]) -> Mapping[str, float]:
    found = document.get("metrics", document)
    return found if isinstance(found, Mapping) else {}


def _percents(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(100 * float(metrics[name]), 2) for name in METRICS if name in metrics}


def _slice_names(metric: str) -> tuple[str, ...]:
    """Return the names of the table's slices.

    These are the true pairs of head, torso and tail labels that are found, a metric of the queries by image and text,
    and the labels that are in no query's first ten.
    """
    queries = (f"{metric} {name}" for name in (*IMAGES, *TEXTS))
    return (*(f"recall@10 {name}" for name in GROUPS), *queries, "in no top 10")


def _slices(document: Mapping[str, Any], metric: str) -> dict[str, float]:
    slices: Mapping[str, Any] = document.get("slices", {})
    if not slices:
        return {}
    found: dict[str, float | None] = {
        f"recall@10 {name}": part.get("recall@10") for name, part in slices["labels"].items()
    }
    found |= {f"{metric} {name}": part.get(metric) for name, part in slices["queries"].items() if part["queries"]}
    found["in no top 10"] = slices["never_predicted"].get("@10")
    return {name: round(100 * value, 2) for name in _slice_names(metric) if (value := found.get(name)) is not None}


def _bounds(model: str, intervals: Mapping[str, Mapping[str, tuple[float, float]]]) -> dict[str, float]:
    return {
        f"{metric} {bound}": round(100 * value, 2)
        for metric, of in intervals.items()
        for bound, value in zip(_BOUNDS, of[model], strict=True)
    }


def _costs(document: Mapping[str, Any]) -> dict[str, float]:
    costs = {}
    seconds = document.get("seconds")
    if seconds:
        total = sum(seconds.values()) if isinstance(seconds, Mapping) else seconds
        costs["minutes"] = round(total / 60, 2)
    if document.get("peak_memory_bytes"):
        costs["GiB"] = round(document["peak_memory_bytes"] / 2**30, 2)
    if document.get("num_parameters"):
        costs["M parameters"] = round(document["num_parameters"] / 1e6, 2)
    if document.get("milliseconds_per_query"):
        milliseconds = document["milliseconds_per_query"] + document.get("milliseconds_per_search", 0.0)
        costs["ms/query"] = round(milliseconds, 2)
    return costs
