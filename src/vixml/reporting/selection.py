"""Which runs a comparison takes: references like `latest` or `encoder_text~1`, resolved and checked."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vixml.configuration.compose import readable_name
from vixml.core.errors import StateError
from vixml.evaluation.archive import StoredRun

LATEST = "latest"
_BACK = re.compile(r"(?P<name>.+)~(?P<back>\d+)$")
_PARTS = {"queries": "test queries", "labels": "labels", "relevance": "true pairs", "filter": "filter pairs"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenRun:
    """A run of a comparison.

    Args:
        label: Its name in tables: its variant, and what distinguishes it from other runs of that variant.
        variant: Its variant.
        run: The stored run.
    """

    label: str
    variant: str
    run: StoredRun


Archives = Mapping[str, Sequence[StoredRun]]
"""Variant -> its runs, newest first."""


def choose_runs(archives: Archives, references: str, test_set: Mapping[str, Any]) -> list[ChosenRun]:
    """Resolve the references of the runs to compare.

    `latest` leaves out variants that were last measured on another test set than the present one, with a warning; any
    run that is asked for by itself must have been measured on the present one.

    Args:
        archives: Variant -> its runs, newest first.
        references: Joined by `+`: `latest`; a variant, or `variant~1` for the run before; an id, an MLflow id or
            the beginning of one; a name.
        test_set: Identity of the present test set.

    Returns:
        The runs in the order of the variants, the newest first; none twice.

    Raises:
        StateError: Nothing is called so, there is nothing to compare, or a run was measured on another test set.
    """
    found: dict[str, tuple[str, StoredRun]] = {}
    for reference in (part.strip() for part in str(references).split("+")):
        if reference == LATEST:
            for variant, runs in archives.items():
                if runs and not differing_parts(runs[0], test_set):
                    found[runs[0].id] = (variant, runs[0])
                elif runs:
                    _log.warning(
                        "%s is left out: its newest run was measured on another test set (%s). Run it again.",
                        variant,
                        ", ".join(differing_parts(runs[0], test_set)),
                    )
        elif reference:
            variant, run = find_run(archives, reference)
            require_same_test_set(run, reference, test_set)
            found[run.id] = (variant, run)
    if not found:
        raise StateError(
            "there is nothing to compare: no variant has been evaluated on this test set",
            remedy=f"run one first, for instance `kedro run --pipelines={next(iter(archives), 'encoder_text')}`.",
        )
    order = list(archives)
    chosen = sorted(found.values(), key=lambda pair: pair[1].id, reverse=True)
    return _labelled(sorted(chosen, key=lambda pair: order.index(pair[0])))


def find_run(archives: Archives, reference: str) -> tuple[str, StoredRun]:
    """Return the variant and the run that a single reference names; of several runs of a name, the newest.

    Raises:
        StateError: No run is called so, or several begin so.
    """
    back = _BACK.match(reference)
    name, steps = (back["name"], int(back["back"])) if back else (reference, 0)
    pairs = [(variant, run) for variant, runs in archives.items() for run in runs]
    pairs.sort(key=lambda pair: pair[1].id, reverse=True)
    for matches in (
        [pair for pair in pairs if pair[0] == name],
        [pair for pair in pairs if pair[1].document["name"] == name],
    ):
        if len(matches) > steps:
            return matches[steps]
    begins = [pair for pair in pairs if pair[1].id.startswith(name) or _mlflow_id(pair[1]).startswith(name)]
    if len(begins) == 1 and not steps:
        return begins[0]
    known = [f"{variant} {run.id}" for variant, run in pairs]
    raise StateError(
        f"several runs begin with `{name}`" if len(begins) > 1 else f"no stored run is called `{reference}`",
        found=", ".join(f"{variant} {run.id}" for variant, run in begins) or None,
        expected="one of " + (", ".join(known[:12]) or "none: nothing has been evaluated yet"),
        remedy="name a variant, `variant~1` for the run before, a run's id, its MLflow id or its name.",
    )


def require_same_test_set(run: StoredRun, reference: str, test_set: Mapping[str, Any]) -> None:
    """Refuse a run that was measured on another test set.

    Raises:
        StateError: It was; what differs is named.
    """
    if parts := differing_parts(run, test_set):
        theirs = run.document["test_set"]
        raise StateError(
            f"run `{reference}` was measured on another test set: its {' and '.join(parts)} differ",
            file=run.path,
            found=f"{theirs['num_queries']} queries, {theirs['num_labels']} labels, {theirs['num_pairs']} true pairs",
            expected="{num_queries} queries, {num_labels} labels, {num_pairs} true pairs, the same ones".format(
                **test_set
            ),
            remedy="evaluate that variant again on the present data, or compare other runs.",
        )


def differing_parts(run: StoredRun, test_set: Mapping[str, Any]) -> list[str]:
    """Name the parts in which a run's test set differs from the present one."""
    theirs = run.document["test_set"]
    return [words for key, words in _PARTS.items() if theirs.get(key) != test_set[key]]


def _labelled(pairs: Sequence[tuple[str, StoredRun]]) -> list[ChosenRun]:
    """Name each run after its variant, where one has several runs with the run's own name, or else its time."""
    variants = [variant for variant, _ in pairs]
    chosen: dict[str, ChosenRun] = {}
    for variant, run in pairs:
        label, name = readable_name(variant), run.document["name"]
        if variants.count(variant) > 1:
            own = name if name and name != variant else _time_of(run.id)
            label = f"{label} ({own})" if f"{label} ({own})" not in chosen else f"{label} ({run.id})"
        chosen[label] = ChosenRun(label, variant, run)
    return list(chosen.values())


def _time_of(run_id: str) -> str:
    """Return the time (UTC) in a run's id, short enough for a table: 20261128T085337.496-e7d3b0 is 28 Nov 08:53:37."""
    try:
        return datetime.strptime(run_id.partition(".")[0], "%Y%m%dT%H%M%S").strftime("%d %b %H:%M:%S")
    except ValueError:
        return run_id


def _mlflow_id(run: StoredRun) -> str:
    return str(run.document["mlflow_id"])


def compared_runs(archives: Archives, report: Mapping[str, Any]) -> list[ChosenRun]:
    """Find the runs of a comparison again, in its order, by its report."""
    known = {run.id: run for stored in archives.values() for run in stored}
    entries = [(label, report["runs"][label]) for label in report["order"]]
    return [ChosenRun(label, entry["variant"], known[entry["id"]]) for label, entry in entries]
