"""Reading raw files: JSON lines against json.loads and a dictionary a line, CSV against pandas."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
from tests.oracles import reading as oracle

from benchmarks.harness import Row, race


def run(*, quick: bool) -> list[Row]:
    """Read JSON lines, and a CSV of a million rows a fifth of which has quoted cells."""
    return [*_json_lines(quick=quick), *_csv(quick=quick)]


def _csv(*, quick: bool) -> list[Row]:
    """Read a CSV, of which the whole is looked at for its encoding and quoting before a row is taken."""
    from vixml.ingestion.tables.files import read_table

    count = 50_000 if quick else 1_000_000
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(5_000)])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "queries.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", "title", "labels", "image"])
            for row, drawn in enumerate(rng.integers(0, len(words), (count, 8))):
                title = (", " if row % 5 == 0 else " ").join(words[drawn])
                writer.writerow([f"p{row:07d}", title, "|".join(words[drawn[:3] % 300]), f"img/{row}.jpg"])
        seconds, oracle_seconds, peak, ours, theirs = race(
            lambda: read_table(file),
            lambda: oracle.read_csv(file),
        )
    assert ours.columns == theirs, "cells differ"
    return [
        Row(
            "reading CSV", f"{count:,} rows: {count / seconds:,.0f} rows/s, every row accounted for", seconds,
            "pandas, whatever it makes of it", oracle_seconds, peak, "the oracle", oracle_seconds, ">= 0.5x",
            oracle_seconds >= 0.5 * seconds,
        )
    ]  # fmt: skip


def _json_lines(*, quick: bool) -> list[Row]:
    """Read lines of a title and about two labels, plain (unpacking gzip comes on top)."""
    from vixml.ingestion.benchmark.json_lines import read_side

    count = 20_000 if quick else 300_000
    rng = np.random.default_rng(0)
    words = np.array(["soft", "blue", "cotton", "travel", "mug", "lamp", "wooden", "small"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trn.json"
        with file.open("w", encoding="utf-8") as stream:
            for i in range(count):
                labels = rng.integers(0, 130_000, 1 + i % 3).tolist()
                title = " ".join(words[rng.integers(0, 8, 6)])
                item = {"uid": f"B{i:08d}", "title": title, "target_ind": labels, "target_rel": [1.0] * len(labels)}
                stream.write(json.dumps(item) + "\n")

        seconds, oracle_seconds, peak, ours, theirs = race(
            lambda: read_side(file, with_targets=True), lambda: oracle.read_lines(file)
        )
    assert ours.titles == [item["title"] for item in theirs], "titles differ"
    assert ours.targets.tolist() == [label for item in theirs for label in item["target_ind"]], "targets differ"
    rate = count / seconds
    return [
        Row(
            "reading JSON lines", f"{count:,} lines: {rate:,.0f} lines/s, all checks", seconds, "json.loads, unchecked",
            oracle_seconds, peak, "the parser alone", oracle_seconds, "> 100,000 lines/s", rate > 100_000,
        )
    ]  # fmt: skip
