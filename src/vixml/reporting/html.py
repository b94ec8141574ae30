"""The HTML report: one file with everything in it, readable from disk without a network.

Python prepares ONE JSON document; a few hundred lines of plain JavaScript (`page/`) draw it. The page shows text only
through text nodes, and its security policy allows no request and no script but the embedded ones (by their hashes).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vixml.core.provenance import flatten
from vixml.ingestion.ledger import ledger_rows
from vixml.reporting.table import numeric_columns

if TYPE_CHECKING:
    import pandas as pd

_SCRIPTS = ("base.js", "charts.js", "results.js", "probabilities.js", "errors.js", "training.js", "gallery.js")
_CURVE_POINTS = 400
_NOT_DRAWN = ("step", "epoch")


def render(
    report: Mapping[str, Any],
    table: pd.DataFrame,
    data_report: Mapping[str, Any] | None,
    gallery: Mapping[str, Any],
) -> str:
    """Return the report as one HTML page.

    Args:
        report: Result of `compare_runs`.
        table: The comparison table, metrics in percent.
        data_report: What was ingested; None leaves the section out.
        gallery: Result of `build_gallery`.
    """
    payload = {
        **{key: report[key] for key in _PLAIN},
        "created": datetime.now(UTC).isoformat(timespec="minutes"),
        "version": version("vixml"),
        "columns": numeric_columns(table),
        "rows": json.loads(table.to_json(orient="records")),
        "probabilities": {label: report["variants"][label].get("probabilities") for label in report["order"]},
        "runs": [_run(label, report) for label in report["order"]],
        "settings": differing_settings({label: report["runs"][label]["settings"] for label in report["order"]}),
        "data": data_report,
        "ledger": ledger_rows(data_report["ledger"]) if data_report and "ledger" in data_report else [],
        "gallery": gallery,
    }
    page = files("vixml.reporting").joinpath("page")
    style = page.joinpath("style.css").read_text(encoding="utf-8")
    script = "\n".join(page.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS)
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_sha256(style)}'; "
        f"script-src 'sha256-{_sha256(script)}'; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "@TITLE@": html.escape(f"ViXML · {report['dataset']}"),
        "@POLICY@": html.escape(policy),
        "@STYLE@": style,
        "@SCRIPT@": script,
        "@DATA@": _embed(payload),
    }
    text = page.joinpath("page.html").read_text(encoding="utf-8")
    for mark, value in parts.items():
        before, _, after = text.partition(mark)
        text = before + value + after
    return text


_PLAIN = (
    "dataset",
    "test_set",
    "missing",
    "metrics",
    "metric",
    "confidence",
    "bootstrap_samples",
    "intervals",
    "pairs",
    "depths",
    "slices",
    "errors",
    "regression",
    "verdicts",
)


def differing_settings(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings in which runs differ: `names`, and `values` of each run (None where it has none such)."""
    flat = {label: {name: _text(leaf) for name, leaf in flatten(value).items()} for label, value in settings.items()}
    names = dict.fromkeys(name for leaves in flat.values() for name in leaves)
    differing = [name for name in names if len({leaves.get(name) for leaves in flat.values()}) > 1]
    return {
        "names": differing,
        "values": {label: [leaves.get(name) for name in differing] for label, leaves in flat.items()},
        "same": len(names) - len(differing),
    }


def _run(label: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of one run."""
    entry = report["runs"][label]
    return {
        "label": label,
        "variant": entry["variant"],
        "images": bool(report["variants"][label].get("images")),
        "untrained": report["variants"][label].get("epochs") == 0,
        **{key: entry[key] for key in ("id", "name", "mlflow_id", "git_commit", "created", "refreshes")},
        "curve": learning_series(entry["curve"]),
    }


def learning_series(records: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Return every series of a learning curve as [epoch or step, value] pairs, thinned to a few hundred points."""
    series: dict[str, list[list[float]]] = {}
    for record in records:
        for name, value in record.items():
            if name not in _NOT_DRAWN and isinstance(value, (int, float)):
                series.setdefault(name, []).append([record["step"], float(value)])
    return {name: points[:: -(-len(points) // _CURVE_POINTS)] for name, points in series.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _embed(value: Any) -> str:
    """Return JSON that cannot end the script element that holds it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
