"""The comparison of variants and baselines as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vixml.core.errors import StateError

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@100")
"""Metrics of the table, in its order; those that were not computed are left out."""

_COSTS = ("minutes", "GiB", "M parameters")


def comparison_table(
    results: Mapping[str, Mapping[str, Any] | None], baselines: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Return one row a baseline and a variant: metrics in percent, then the cost.

    Args:
        results: Metrics document of each variant (`metrics` as fractions, `seconds`, `num_parameters`,
            `peak_memory_bytes`); None where the variant has not been run.
        baselines: Metrics (fractions) of each baseline.

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
        {"model": name, "kind": "baseline", **_percents(_metrics(found))} for name, found in (baselines or {}).items()
    ]
    rows += [
        {"model": name, "kind": "variant", **_percents(_metrics(document)), **_costs(document)}
        for name, document in present.items()
    ]
    table = pd.DataFrame(rows)
    return table[["model", "kind", *(name for name in (*METRICS, *_COSTS) if name in table)]]


def comparison_report(
    results: Mapping[str, Mapping[str, Any] | None], baselines: Mapping[str, Any] | None, *, dataset: str
) -> dict[str, Any]:
    """Return everything that was compared as one document, with the variants that are missing."""
    present = {name: document for name, document in results.items() if document}
    return {
        "dataset": dataset,
        "variants": present,
        "missing": [name for name in results if name not in present],
        "baselines": dict(baselines or {}),
    }


def print_table(table: pd.DataFrame, *, report: Mapping[str, Any]) -> None:
    """Print the comparison on standard output, the best variant of each metric in bold."""
    from rich.console import Console
    from rich.table import Table

    numbers = [name for name in table.columns if name not in ("model", "kind")]
    shown = Table(title=f"{report['dataset']}: metrics in percent", title_justify="left")
    shown.add_column("model", no_wrap=True)
    for name in numbers:
        shown.add_column(name, justify="right", no_wrap=True)
    best = table.loc[table["kind"] == "variant", numbers].max()
    for row in table.to_dict("records"):
        cells = []
        for name in numbers:
            value = row[name]
            bold = name in METRICS and row["kind"] == "variant" and value == best[name]
            text = "" if math.isnan(value) else f"{value:.2f}"
            cells.append(f"[bold]{text}[/bold]" if bold else text)
        shown.add_row(str(row["model"]), *cells, style="dim" if row["kind"] == "baseline" else None)
    console = Console()
    if not console.is_terminal:  # in a file or a pipe nothing may be cut off
        console = Console(width=max(console.width, 140))
    console.print(shown)
    if report["missing"]:
        console.print(f"Not evaluated yet: {', '.join(report['missing'])}.")


def _metrics(document: Mapping[str, Any]) -> Mapping[str, float]:
    found = document.get("metrics", document)
    return found if isinstance(found, Mapping) else {}


def _percents(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(100 * float(metrics[name]), 2) for name in METRICS if name in metrics}


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
    return costs
