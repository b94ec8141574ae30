"""Hide true pairs of a data set, and see how many of them a label audit proposes as missing.

python -m benchmarks.hidden_pairs hide --raw RAW --out RAW-hidden
kedro run --pipelines=ingestion,label_audit --params "data_root=RAW-hidden,..."
python -m benchmarks.hidden_pairs count --hidden RAW-hidden --table data/08_reporting/RAW-hidden/label_audit_table.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.hold_out import write_json_lines
from vixml.audit.proposals import MISSING
from vixml.core.errors import ConfigError
from vixml.core.seeding import numpy_generator
from vixml.data.sides import SHORT_NAMES, Side
from vixml.ingestion.benchmark.json_lines import read_json_lines, read_side
from vixml.ingestion.benchmark.layouts import find_raw_file

HIDDEN = "hidden_pairs.csv"
"""File of the hidden pairs in the new folder: query_id, label_id."""

DEPTHS = (100, 300, 1000)


def hide_pairs(raw: Path, target: Path, *, fraction: float, seed: int) -> int:
    """Write a raw folder without a random share of the training pairs; every query keeps one label at least.

    Args:
        raw: Raw folder of the benchmark's format.
        target: New folder; other files are linked.
        fraction: Share of the pairs to hide, 0 to 1.
        seed: Root seed.

    Returns:
        The number of hidden pairs.

    Raises:
        ConfigError: The folder exists already.
        DataError: A raw file is missing or malformed.
    """
    if target.exists():
        raise ConfigError("the folder exists already", file=target, remedy="remove it, or name another.")
    file, rng = find_raw_file(raw, Side.TRAIN), numpy_generator(seed, "hidden pairs")
    labels = read_side(find_raw_file(raw, Side.LABEL), with_targets=False).uids
    hidden: list[tuple[str, str]] = []

    def reduced() -> Iterator[dict[str, Any]]:
        for _, item in read_json_lines(file):
            targets = item["target_ind"]
            gone = rng.random(len(targets)) < fraction
            if gone.all() and len(targets):
                gone[rng.integers(len(targets))] = False
            hidden.extend((str(item["uid"]), labels[targets[place]]) for place in np.flatnonzero(gone))
            left = np.flatnonzero(~gone)
            yield {**item, **{name: [item[name][place] for place in left] for name in ("target_ind", "target_rel")}}

    target.mkdir(parents=True)
    write_json_lines(target / f"{SHORT_NAMES[Side.TRAIN]}.json.gz", reduced())
    pd.DataFrame(hidden, columns=["query_id", "label_id"]).to_csv(target / HIDDEN, index=False)
    for other in raw.iterdir():
        if other != file:
            (target / other.name).symlink_to(other.resolve(), target_is_directory=other.is_dir())
    return len(hidden)


def count_found(hidden: Path, table: Path) -> dict[int, float]:
    """Return which share of the first proposals of missing pairs are hidden ones.

    Args:
        hidden: Folder that `hide_pairs` wrote.
        table: Table of the audit; its proposals of missing pairs stand in their order.

    Returns:
        Share, 0 to 1, by number of proposals; a depth that the table does not reach is absent.
    """
    truth = pd.MultiIndex.from_frame(pd.read_csv(hidden / HIDDEN, dtype=str, na_filter=False))
    proposals = pd.read_csv(table, dtype=str, na_filter=False)
    missing = proposals[proposals["proposal"] == MISSING]
    found = pd.MultiIndex.from_frame(missing[["query_id", "label_id"]]).isin(truth)
    return {depth: float(found[:depth].mean()) for depth in DEPTHS if depth <= len(found)}


def main() -> None:
    """Read the command line, and hide or count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    hide = commands.add_parser("hide")
    hide.add_argument("--raw", type=Path, required=True)
    hide.add_argument("--out", type=Path, required=True)
    hide.add_argument("--fraction", type=float, default=0.1)
    hide.add_argument("--seed", type=int, default=0)
    count = commands.add_parser("count")
    count.add_argument("--hidden", type=Path, required=True)
    count.add_argument("--table", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "hide":
        number = hide_pairs(args.raw, args.out, fraction=args.fraction, seed=args.seed)
        print(f"{number:,} pairs hidden, listed in {args.out / HIDDEN}")
    else:
        for depth, share in count_found(args.hidden, args.table).items():
            print(f"first {depth:,}: {share:.1%} are hidden pairs")


if __name__ == "__main__":
    main()
