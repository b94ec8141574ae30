"""The page of a label audit: proposals with pictures, readable from disk without a network or a script."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from vixml.audit.proposals import MISSING, WRONG
from vixml.reporting.compare import beginning
from vixml.reporting.gallery import thumbnail

if TYPE_CHECKING:
    import pandas as pd

_PIXELS, _LABELS = 96, 12
_TEXT, _NAME = 160, 60  # letters of an item, and of a label that a query has
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1080px; padding: 16px; color: #1c1e21; }
table { border-collapse: collapse; width: 100%; } td { min-width: 6em; } th { text-align: left; white-space: nowrap; }
td, th { border-top: 1px solid #ddd; padding: 6px 8px; vertical-align: top; overflow-wrap: anywhere; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
img { max-width: 96px; max-height: 96px; display: block; background: #fff; } small { color: #5b6068; display: block; }
@media (prefers-color-scheme: dark) {
  :root { color-scheme: dark; } body { color: #e7e9ee; background: #14161b; }
  td, th { border-color: #343a44; } small { color: #9aa2ae; }
}
"""
_INTRO = {
    MISSING: (
        "Probably missing",
        "Pairs that are not among the training pairs although evidence from other queries makes them likely.",
    ),
    WRONG: (
        "Probably wrong",
        "Training pairs that evidence from other queries makes far less likely than the other pairs of the same label.",
    ),
}


def render_audit(
    table: pd.DataFrame,
    report: Mapping[str, Any],
    *,
    queries: pd.DataFrame,
    labels: pd.DataFrame,
    relevance: sp.csr_matrix,
    root: Path,
    shown: int,
    name: str,
) -> str:
    """Return the audit as one HTML page.

    Args:
        table: All proposals, as `proposal_table` returns them.
        report: The audit's report.
        queries: Training queries, columns uid, text and images.
        labels: Labels, likewise.
        relevance: Training pairs, CSR [N, L].
        root: Folder of the raw files that the images' paths start from.
        shown: Proposals of each kind on the page.
        name: Name of the data set.
    """
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    sides = _Side(queries, root), _Side(labels, root)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Label audit · {html.escape(name)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Label audit · {html.escape(name)}</h1>",
        "<p>Tick what is right in <code>label_audit_table.csv</code> (any mark in the column <code>accept</code>) and "
        "pass the file as <code>data.corrections</code>: the next ingestion reads it.</p>",
        _negatives(report),
    ]
    for kind, (title, intro) in _INTRO.items():
        some = table[table["proposal"] == kind]
        parts.append(f"<h2>{title}</h2><p>{intro} The first {min(shown, len(some)):,} of {len(some):,}.</p>")
        parts.append(_rows(some.head(shown), kind, *sides, labels["text"], relevance))
    return "\n".join([*parts, "</body></html>"]) + "\n"


class _Side:
    """Items by id, with their pictures."""

    def __init__(self, items: pd.DataFrame, root: Path) -> None:
        self._images, self._root = items["images"], root.resolve()
        self.row = {str(uid): row for row, uid in enumerate(items["uid"])}

    def cell(self, uid: str, text: str) -> str:
        """Return what a cell of the table shows of an item."""
        files = self._images.iloc[self.row[uid]]
        picture = thumbnail(self._root, files[0], _PIXELS) if len(files) else None
        image = "" if picture is None else f'<img alt="" src="data:image/webp;base64,{picture}">'
        whole = f' title="{html.escape(text)}"' if len(text) > _TEXT else ""
        name = "" if uid == text else f"<small>{html.escape(uid)}</small>"
        return f"{image}<span{whole}>{html.escape(beginning(text, _TEXT))}</span>{name}"


def _rows(
    some: pd.DataFrame, kind: str, queries: _Side, labels: _Side, texts: pd.Series, relevance: sp.csr_matrix
) -> str:
    numbered = ["probability", "usual"] if kind == WRONG else ["probability"]
    heads = "".join(f'<th class="number">{name}</th>' for name in numbered)
    lines = [f"<table><tr><th>query</th><th>label</th>{heads}<th>labels it has</th></tr>"]
    for one in some.to_dict("records"):
        query, label = str(one["query_id"]), str(one["label_id"])
        row = queries.row[query]
        own = relevance.indices[relevance.indptr[row] : relevance.indptr[row + 1]][:_LABELS]
        cells = [
            f"<td>{queries.cell(query, str(one['query_text']))}</td>",
            f"<td>{labels.cell(label, str(one['label_text']))}</td>",
            *(f'<td class="number">{one[name]:.3f}</td>' for name in numbered),
            f"<td>{html.escape(' · '.join(beginning(text, _NAME) for text in texts.iloc[np.asarray(own)]))}</td>",
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])


def _negatives(report: Mapping[str, Any]) -> str:
    found = report["mined_negatives"]
    if not found:
        return "<p>No variant draws mined hard negatives (<code>batching.mined_per_query</code>).</p>"
    least = report["min_probability"]
    lines = [
        "<h2>Mined negatives</h2>",
        f"<p>Share of the mined negatives that are labels with a probability of {least:g} or more.</p>",
        "<table><tr><th>variant</th><th>all</th><th>head</th><th>torso</th><th>tail</th></tr>",
    ]
    for variant, groups in found.items():
        shares = [groups[name] for name in ("all", "head", "torso", "tail")]
        cells = [
            "—" if one["share"] is None else f"{100 * one['share']:.2f} % of {one['negatives']:,}" for one in shares
        ]
        lines.append(f"<tr><td>{html.escape(variant)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return "\n".join([*lines, "</table>"])
