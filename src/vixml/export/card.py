"""The model card: what the folder holds, how good it is, what it was made from, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vixml.calibration.calibration import Absent, Calibrated

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@10", "R@100")


def model_card(
    facts: Mapping[str, Any],
    *,
    files: Sequence[tuple[str, str]],
    indexes: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any] | None,
    calibration: Calibrated,
) -> str:
    """Return the card as Markdown with the head that hubs read.

    Args:
        facts: `dataset`, `variant`, `backbone`, `objective`, `labels`, `dim`, `train_queries`, `ranking`, `version`,
            `fingerprint`, `max_length`; None for what is not known.
        files: Name and description of each file.
        indexes: Report of `write_indexes`.
        metrics: The variant's result document; None where it is not at hand.
        calibration: The model's probabilities, or why there are none.
    """
    head = ["---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity", "tags: [vixml]", "---"]
    title = f"# {facts['dataset']} / {facts['variant']}"
    rows = [(name, value) for name, value in _described(facts) if value is not None]
    parts = [
        *head,
        title,
        "",
        _table(("", ""), rows),
        "## Files",
        _table(("file", "what"), files),
        "## Figures",
        _figures(metrics, facts),
    ]
    if indexes:
        names = [name for name in indexes[0] if name.startswith("recall@")]
        shown = [
            (one["form"], f"{one['bytes']:,}", *(f"{100 * one[name]:.2f} %" for name in names if name in one))
            for one in indexes
        ]
        parts += ["What each index keeps of an exact search over the label vectors:", ""]
        parts += [_table(("vectors", "bytes", *names), shown)]
    reason = calibration.absent if isinstance(calibration, Absent) else "Probabilities are in the predictor, not here."
    parts += ["## Limits", _limits(facts, reason)]
    return "\n".join(parts) + "\n"


def _described(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    labels, queries = facts.get("labels"), facts.get("train_queries")
    return [
        ("data set", facts.get("dataset")),
        ("labels", None if labels is None else f"{labels:,}"),
        ("training queries", None if queries is None else f"{queries:,}"),
        ("network", facts.get("backbone")),
        ("objective", facts.get("objective")),
        ("width of a vector", facts.get("dim")),
        ("longest text, tokens", facts.get("max_length")),
        ("made with", f"ViXML {facts['version']}"),
        ("fingerprint of the predictor", facts.get("fingerprint")),
    ]


def _figures(metrics: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> str:
    if metrics is None:
        return "The metrics of this model were not at hand when it was exported.\n"
    plain = metrics.get("metrics_plain")
    rows = [("these vectors alone" if plain else "all labels ranked by these vectors", plain or metrics["metrics"])]
    if plain:
        rows.append((f"the whole ranking ({facts['ranking']}), which needs ViXML", metrics["metrics"]))
    names = [name for name in METRICS if all(name in values for _, values in rows)]
    shown = [(what, *(f"{100 * values[name]:.2f}" for name in names)) for what, values in rows]
    note = f"On {metrics['queries']:,} test queries, in percent.\n\n"
    return note + _table(("", *names), shown)


def _limits(facts: Mapping[str, Any], reason: str) -> str:
    ranking = facts.get("ranking")
    lines = [
        "- The vectors rank labels by inner product, as a vector database does. "
        + ("" if ranking == "none" else f"The model itself ranks by `{ranking}`, which is better and is not in them."),
        f"- {reason}",
        "- Trained on the data set named above; it was not made for texts of another kind or language.",
        "- Labels that people give are incomplete: a label that is ranked high and not in the data need not be wrong.",
        "- Licences: the weights are under the licence of the network named above, together with that of the data. "
        "Neither is known to the program: state them before you publish this.",
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"
    )
