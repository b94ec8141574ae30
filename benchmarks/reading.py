"""Reading raw JSON lines, against json.loads and a dictionary a line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from tests.oracles import reading as oracle

from benchmarks.harness import Row, race


def run(*, quick: bool) -> list[Row]:
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
