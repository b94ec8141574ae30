"""What a stage made, in a few words: `3,000 training and 800 test queries, 1,500 labels`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vixml.core.directories import Built

_METRICS = ("P@1", "P@5", "PSP@5", "R@10")


def describe(outputs: Mapping[str, Any]) -> str:
    """Return a short description of a node's outputs, empty if there is none.

    Args:
        outputs: Name of the data set (its namespace does not matter) -> what the node returned for it.
    """
    for name, value in outputs.items():
        words = _WORDS.get(name.rpartition(".")[2])
        if words is not None:
            facts = value.meta if isinstance(value, Built) else value
            return words(facts)
    return ""


def percents(metrics: Mapping[str, float], names: Sequence[str] = _METRICS) -> str:
    """Return metrics (fractions) as `P@1 83.38 %, P@5 45.60 %`; those that were not measured are left out."""
    return ", ".join(f"{name} {100 * metrics[name]:.2f} %" for name in names if name in metrics)


def _data(report: Mapping[str, Any]) -> str:
    sides = {side: f"{facts['items']:,}" for side, facts in report["sides"].items()}
    validation = "" if sides["validation"] == "0" else f", {sides['validation']} validation"
    return f"{sides['train']} training{validation} and {sides['test']} test queries, {sides['label']} labels"


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _images(report: Mapping[str, Any]) -> str:
    failed = f", {report['images_failed']:,} unreadable" if report.get("images_failed") else ""
    return f"{report['images_unique']:,} images as vectors of {report['dim']} numbers ({report['model']}){failed}"


def _tokens(meta: Mapping[str, Any]) -> str:
    sides = [facts for facts in meta.values() if isinstance(facts, Mapping) and "tokens" in facts]
    return f"{sum(side['texts'] for side in sides):,} texts, {sum(side['tokens'] for side in sides):,} tokens"


def _model(meta: Mapping[str, Any]) -> str:
    done = f"trained {meta['epochs']} epochs, {meta['steps']:,} steps" if meta["steps"] else "untrained, as configured"
    return f"{done}; {meta['parameters'] / 1e6:,.2f} M parameters"


def _warmup(meta: Mapping[str, Any]) -> str:
    return f"trained to epoch {meta['epoch']}, step {meta['step']:,}" if meta["step"] else "nothing to train"


def _evidence(meta: Mapping[str, Any]) -> str:
    known = {"none": "the labels' vectors alone", "evidence": "all evidence"}
    return f"ranks by {known.get(meta['mode'], meta['mode'])}"


def _baselines(found: Mapping[str, Any]) -> str:
    known = {name: metrics["P@1"] for name, metrics in found.items() if "P@1" in metrics}
    return f"{len(found)} baselines" + (f", best P@1 {100 * max(known.values()):.2f} %" if known else "")


def _download(report: Mapping[str, Any]) -> str:
    failed = f", {report['failed']:,} failed (download_failures.csv lists them)" if report["failed"] else ""
    return f"{report['images']:,} images, {report['fetched_now']:,} of them fetched now{failed}"


def _soft_labels(meta: Mapping[str, Any]) -> str:
    return f"{meta['labels_per_query']:.0f} soft labels per query by {meta['teacher']}"


def _labels(report: Mapping[str, Any]) -> str:
    changes = ", ".join(f"{report[what]:,} {what}" for what in ("added", "updated", "removed"))
    return f"{report['labels']:,} labels ({changes})"


def _audit(report: Mapping[str, Any]) -> str:
    missing, wrong = (report[kind]["proposals"] for kind in ("missing", "wrong"))
    return f"{missing:,} pairs proposed as missing, {wrong:,} as wrong (label_audit.html shows them)"


_WORDS: dict[str, Callable[[Any], str]] = {
    "raw": lambda meta: f"the demo catalogue as raw files, {meta['num_pictures']:,} pictures",
    "data_report": _data,
    "image_report": _images,
    "tokens": _tokens,
    "soft_labels": _soft_labels,
    "warmup": _warmup,
    "hard_negatives": lambda meta: f"{meta['clusters']:,.0f} clusters of similar queries",
    "model": _model,
    "embeddings": lambda meta: f"queries and labels as vectors of {meta['dim']} numbers",
    "runs": lambda meta: f"kept as run {meta['id']}",
    "index": lambda meta: f"{meta['kind']} index of {meta['labels']:,} labels",
    "evidence": _evidence,
    "predictor": lambda meta: f"{meta['labels']:,} labels, ready for predictions",
    "metrics": lambda document: percents(document["metrics"]),
    "baseline_metrics": _baselines,
    "comparison_report": lambda report: f"{_count(len(report['order']), 'run')} compared",
    "prediction_report": lambda report: (
        f"{_count(report['queries'], 'query', 'queries')}, {_count(report['predictions'], 'prediction')}"
        + (f", {without:,} without a label" if (without := report.get("queries_without_a_label")) else "")
    ),
    "label_audit_report": _audit,
    "label_update_report": _labels,
    "download_report": _download,
    "sync_report": lambda runs: f"{len(runs)} runs checked",
    "picture_sheet": lambda _: "examples of the pictures",
    "label_frequency_plot": lambda _: "plot of the label frequencies",
    "data_summary": lambda _: "table of sizes",
    "comparison_plot": lambda _: "plot of the comparison",
    "index_plot": lambda _: "plot of recall against speed",
    "report_html": lambda _: "the report, one page",
    "label_audit_html": lambda _: "the strongest proposals, one page",
    "regression_check": lambda _: "regression check",
}
"""Data set -> its description. For a node with several outputs, the first one listed here is described."""
