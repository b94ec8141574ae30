"""The comparison table as Markdown and as LaTeX, for a merge request and for a paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vixml.reporting.table import numeric_columns
from vixml.reporting.verdict import headline

if TYPE_CHECKING:
    import pandas as pd

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX.update({character: f"\\{character}" for character in "&%$#_{}"})


def markdown_table(table: pd.DataFrame, report: Mapping[str, Any]) -> str:
    """Return the table in Markdown: best variant of a metric in bold, half the width of its interval behind each."""
    names = numeric_columns(table)
    said = "".join(f" · {_pipe(sentence)}" for sentence in headline(report))
    lines = [
        f"**{_pipe(report['dataset'])}** · {report['test_set']['num_queries']:,} test queries · metrics in percent, "
        f"± half of the {100 * report['confidence']:g} % interval (paired bootstrap){said}",
        "",
        "| model | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]
    for model, cells in _cells(table, report):
        shown = [f"**{value}**{spread}" if best else f"{value}{spread}" for value, spread, best in cells]
        lines.append(f"| {_pipe(model)} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def latex_table(table: pd.DataFrame, report: Mapping[str, Any]) -> str:
    """Return the table as a LaTeX `tabular` (package booktabs)."""
    names = numeric_columns(table)
    lines = [
        f"% {report['dataset']}: metrics in percent, half of the {100 * report['confidence']:g} % interval after each",
        r"\begin{tabular}{l" + "r" * len(names) + "}",
        r"\toprule",
        "model & " + " & ".join(_latex(name) for name in names) + r" \\",
        r"\midrule",
    ]
    for model, cells in _cells(table, report):
        shown = []
        for value, spread, best in cells:
            text = rf"\textbf{{{value}}}" if best else value
            shown.append(rf"{text}{{\scriptsize\,$\pm${spread.removeprefix(' ± ')}}}" if spread else text)
        lines.append(f"{_latex(model)} & " + " & ".join(shown) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cells(table: pd.DataFrame, report: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Return of each row the model, and of each cell the number, the spread and whether it is the best."""
    names = numeric_columns(table)
    best = table.loc[table["kind"] == "variant", names].max()
    rows = []
    for row in table.to_dict("records"):
        cells = []
        for name in names:
            value, interval = row[name], report["intervals"].get(name, {}).get(row["model"])
            text = "" if math.isnan(value) else f"{value:.2f}"
            spread = f" ± {50 * (interval[1] - interval[0]):.2f}" if interval and text else ""
            leading = name in report["intervals"] and row["kind"] == "variant" and value == best[name]
            cells.append((text, spread, leading))
        rows.append((str(row["model"]), cells))
    return rows


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
