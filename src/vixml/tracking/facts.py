"""What is written to a run: names and values that MLflow takes, and the facts of code, data and libraries."""

from __future__ import annotations

import html
import math
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vixml.core.directories import hash_file
from vixml.core.provenance import fingerprint_json, flatten
from vixml.core.redact import HIDDEN, is_secret, redact
from vixml.metrics import ranking

LIBRARIES = ("vixml", "torch", "transformers", "open_clip_torch", "peft", "faiss-cpu", "numpy", "kedro", "mlflow")
"""Distributions whose versions are tagged."""

HEADLINE = ("P@1", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@10", "R@100")
"""Metrics of a run's description, as far as they were measured."""

_SLICES = ("recall_at_10", ".P_at_1", ".PSP_at_5", "never_predicted._at_5")
"""Endings of the slices' numbers that MLflow gets."""

_COST = (
    *("seconds", "epochs", "steps", "num_parameters", "num_trained_parameters"),
    *("peak_memory_bytes", "milliseconds_per_query"),
)
"""What a result says about its cost."""

_VALUE_LENGTH = 5_900  # MLflow refuses 6,000


def shown_settings(value: Any) -> dict[str, str]:
    """Return dotted name -> text of every leaf of nested mappings and parameter models; secrets are hidden."""
    return {
        safe_name(name): (HIDDEN if leaf is not None and is_secret(name) else redact(str(leaf)))[:_VALUE_LENGTH]
        for name, leaf in flatten(value).items()
    }


def safe_name(name: str) -> str:
    """Return a name that MLflow accepts: `P@1` becomes `P_at_1`."""
    return re.sub(r"[^\w\-. /]", "_", name.replace("@", "_at_"))


def numbers(value: Any) -> dict[str, float]:
    """Return dotted name -> number of every finite number in nested mappings."""
    return {
        safe_name(name): float(leaf)
        for name, leaf in flatten(value).items()
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool) and math.isfinite(leaf)
    }


def final_metrics(document: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the numbers that runs are compared by: headline metrics, their slices, cost.

    MLflow lists every metric of a run side by side, so the 160 numbers of a result would hide these 30. The complete
    document is the artefact `reports/metrics.json`.
    """
    metrics = document.get("metrics", {})
    chosen = numbers({name: metrics[name] for name in ranking.HEADLINE if name in metrics})
    slices = numbers(document.get("slices", {}))
    return [
        *chosen.items(),
        *((f"slices/{name}", value) for name, value in slices.items() if name.endswith(_SLICES)),
        *numbers({name: document[name] for name in _COST if name in document}).items(),
    ]


def headline(documents: Mapping[str, Mapping[str, Any] | None]) -> str:
    """Return the headline figures of results (name -> document with `metrics`) as a Markdown table, in percent."""
    found = {name: document["metrics"] for name, document in documents.items() if document and document.get("metrics")}
    names = [name for name in HEADLINE if any(name in metrics for metrics in found.values())]
    rows = [["test, percent", *names], ["---"] * (1 + len(names))]
    for name, metrics in found.items():
        rows.append([_plain(name), *(f"{100 * metrics[key]:.2f}" if key in metrics else "" for key in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def origin(tags: Mapping[str, Any]) -> str:
    """Return the data set and the recipe of a run as a paragraph of Markdown; empty where its tags name neither."""
    found = [
        f"{what} {_plain(str(tags[key]))}"
        for what, key in (("data set", "dataset"), ("recipe", "recipe"))
        if tags.get(key)
    ]
    text = ", ".join(found)
    return f"{text[0].upper()}{text[1:]}.\n\n" if text else ""


def _plain(name: str) -> str:
    """Return a run's name, which anybody may choose, as Markdown that shows it and does nothing else."""
    return re.sub(r"([\\`*\[\]!|])", r"\\\1", html.escape(" ".join(name.split()), quote=False))


def git_state(folder: Path) -> dict[str, str]:
    """Return the commit and whether the working tree differs from it; empty outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git.commit": commit, "git.dirty": str(dirty).lower(), "mlflow.source.git.commit": commit}


def data_fingerprint(files: Mapping[str, Path]) -> str:
    """Return one hash over the ingested files: equal data, equal fingerprint.

    Args:
        files: File of each data set; missing ones are left out.
    """
    return fingerprint_json({name: hash_file(file) for name, file in sorted(files.items()) if file.is_file()})[:16]
