"""Tokenising titles into ragged arrays on the disk, against one text at a time, padded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from tests.oracles import tokens as oracle

from benchmarks.encoding import _texts
from benchmarks.harness import SHARED, Row, race


def run(*, quick: bool) -> list[Row]:
    """Tokenise titles with MiniLM's vocabulary (or a small one trained here); compare ids, bytes and memory."""
    from vixml.core.directories import WorkDirectory
    from vixml.data.tokens import TokenStore, build_tokens
    from vixml.models.text.tokenizer import _train_lowercase_bpe, load_tokenizer

    count, length = (5_000, 32) if quick else (200_000, 32)
    titles = _texts(SHARED / "data" / "lf-tatesubjects" / "trn.json.gz", ("title",))
    local = SHARED / "models" / "minilm-l6"
    tokenizer = load_tokenizer(local) if local.is_dir() else _train_lowercase_bpe(titles, 8000)
    part = list(islice(cycle(titles), count // 20))

    def texts(times: int) -> Iterator[str]:
        return islice(cycle(titles), times * count)

    with tempfile.TemporaryDirectory() as folder:

        def ours(times: int = 1) -> TokenStore:
            work = WorkDirectory(Path(folder) / str(times))
            sides = {"train": texts(times)}
            return TokenStore(build_tokens(sides, tokenizer, max_length=length, special_tokens=True, work=work).path)

        seconds, oracle_seconds, peak, store, padded = race(
            ours, lambda: oracle.tokenise_padded(part, tokenizer, length), repeats=2
        )
        more_seconds, _, more_peak, _, _ = race(lambda: ours(5), lambda: None, repeats=1)
        side = store.side("train")
        values = np.concatenate([row[0][row[1] > 0] for row in padded])
        np.testing.assert_array_equal(side.values[: len(values)], values)
        assert len(side) == count
        small = (side.values.nbytes + side.offsets.nbytes) / count
    oracle_seconds *= count / len(part)
    rate, disk = 60 * count / seconds, padded[0].nbytes / small
    floor = oracle_seconds / int(os.environ.get("RAYON_NUM_THREADS", "1"))
    kind, at_most = "the oracle on all threads", 24 * 4 * count + (12 << 20)  # lengths, joined, and offsets
    return [
        Row(
            "tokenising", f"{count:,} titles: {rate / 1e6:.2f}M/min, {small:.0f} bytes each, padded {disk:.1f}x",
            seconds, "text by text", oracle_seconds, peak, kind, floor,
            ">= 2M/min, >= 5x the disk", rate >= 2e6 and disk >= 5,
        ),
        Row(
            "tokenising, memory", f"{5 * count:,} titles: {(more_peak - peak) / 2**20:.0f} MiB more than for {count:,}",
            more_seconds, "text by text", 5 * oracle_seconds, more_peak, kind, 5 * floor,
            "flat but for the offsets", more_peak - peak <= at_most,
        ),
    ]  # fmt: skip
