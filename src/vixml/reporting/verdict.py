"""What a comparison says in one sentence: who leads, who is level with a baseline, and who is below one.

Baselines are known by their means alone, so a run is compared with them by its own interval; runs among each other by
the interval of their paired difference. "Leads" is said only beyond the interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vixml.metrics.ranking import standing

_MORE = "train longer (training.epochs), give queries more text, or use a larger backbone"


def verdicts(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each metric the best run's `state` (`ahead`, `level` or `below`), and the sentence about it.

    Args:
        report: `order`, `variants`, `baselines`, `metrics`, `intervals` and `pairs` of a comparison.

    Returns:
        Metric -> `run`, `state`, `text` (what follows the run's name), `gap` in points to the best baseline, None
        without any, and `also`: where the best run is level with the best baseline, as it is where both find nearly
        everything, the first other metric in which a run is clearly ahead of every baseline; else None.
    """
    found = {metric: _verdict(metric, report) for metric in report["metrics"]}
    clear = [metric for metric, verdict in found.items() if verdict["clear"]]
    for verdict in found.values():
        verdict["also"] = None if verdict.pop("clear") or verdict["state"] == "below" else next(iter(clear), None)
    return found


def headline(report: Mapping[str, Any]) -> list[str]:
    """Return the sentence of the comparison's metric, of what decides where it does not, and of all that is below."""
    found, first = report.get("verdicts", {}), report.get("metric")  # reports of earlier versions have none
    also = found.get(first, {}).get("also")
    chosen = [name for name, verdict in found.items() if name in (first, also) or verdict["state"] == "below"]
    return [found[name]["run"] + found[name]["text"] for name in sorted(chosen, key=lambda name: name != first)]


def _verdict(metric: str, report: Mapping[str, Any]) -> dict[str, Any]:
    values = {run: 100 * report["variants"][run]["metrics"][metric] for run in report["order"]}
    run = max(values, key=lambda name: standing(report["variants"][name]["metrics"], metric))
    low, high = (100 * bound for bound in report["intervals"][metric][run])
    own = f"{values[run]:.2f} % ({low:.1f} to {high:.1f})"
    equals = _level_runs(run, metric, report)
    known = {name: 100 * found[metric] for name, found in report["baselines"].items() if metric in found}
    if not known:
        text = (
            f" is level with {' and '.join(equals)} at {metric}: {own}" if equals else f" leads at {metric} with {own}"
        )
        return {"run": run, "state": "level" if equals else "ahead", "gap": None, "text": f"{text}.", "clear": True}
    best = max(known, key=lambda name: known[name])
    gap = values[run] - known[best]
    beside = f"{best} {known[best]:.2f} %"
    if known[best] > high:
        remedy = _MORE
        if report["variants"][run].get("ranking") != "evidence":
            remedy = "rank by all evidence (retrieval.augmentation.mode=evidence, with a validation split); or " + _MORE
        text = f" is BELOW the best baseline at {metric}: {own}, {beside}, {gap:+.2f} points. To try: {remedy}."
        return {"run": run, "state": "below", "gap": gap, "text": text, "clear": False}
    if known[best] >= low:
        text = f" is level with the best baseline at {metric}: {own}, {beside}, {gap:+.2f} points, within the interval."
        return {"run": run, "state": "level", "gap": gap, "text": text, "clear": False}
    text = f" leads at {metric} with {own}"
    if equals:
        text = f" is level with {' and '.join(equals)} at {metric}: {own}"
    text += f"; {gap:+.2f} points over the best baseline, {beside}."
    return {"run": run, "state": "level" if equals else "ahead", "gap": gap, "text": text, "clear": True}


def _level_runs(run: str, metric: str, report: Mapping[str, Any]) -> list[str]:
    """Return the other runs whose difference from the best one is within the interval."""
    at, pairs = report["order"].index(run), report["pairs"][metric]
    return [
        other
        for place, other in enumerate(report["order"])
        if other != run and pairs["low"][at][place] <= 0 <= pairs["high"][at][place]
    ]
