"""The data of the scale test, and what its table says; the run itself takes minutes."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale


def test_the_made_up_data_have_the_benchmark_s_numbers(tmp_path: Path) -> None:
    """Lines, labels a query (each once), filter pairs, and ingestion takes them."""
    from vixml.ingestion.ingest import ingest
    from vixml.params.data.ingestion import DataParams

    sizes = scale.Sizes(train=3000, test=300, labels=2000, excluded=500, asked=50)
    scale.write_data(tmp_path / "raw", sizes)
    found = ingest(tmp_path / "raw", DataParams(text_fields="title", validation_fraction=0.0), seed=0)
    assert found.relevance_train.shape == (3000, 2000)
    assert 20 < found.relevance_train.nnz / 3000 < 23
    assert found.filter_test.shape == (300, 2000)
    assert found.filter_test.nnz == sum(1 for _ in (tmp_path / "raw" / "filter_labels_test.txt").open())
    for name, count in (("asked", 50), ("added", scale.ADDED)):
        lines = [json.loads(line) for line in (tmp_path / "raw" / f"{name}.jsonl").open(encoding="utf-8")]
        assert len({line["id"] for line in lines}) == len(lines) == count


def test_sizes_of_a_share() -> None:
    assert scale.Sizes.of(1.0).labels == 1_305_265
    assert scale.Sizes.of(0.01).train == 22_486


def test_every_stage_is_a_row_and_a_node(tmp_path: Path) -> None:
    """From ingestion to label update; the last row sums the seconds and has the largest peaks."""
    options = argparse.Namespace(batch=8, steps=2)
    names = [name for name, _ in scale.commands(tmp_path, scale.Sizes.of(0.01), options)]
    assert names[0] == "ingestion"
    assert names[-2:] == ["prediction", "label update"]
    assert {"train_warmup", "refresh_hard_negatives", "train_hard", "embed", "evaluate"} <= set(names)
    stages = [scale.Stage("a", 2.0, 2**30, 2**31), scale.Stage("b", 3.0, 2**31, 2**31)]
    assert scale.table(stages).splitlines()[-1] == "| all | 5 | 2.00 | 2.00 |"


def test_a_count_that_differs_is_named() -> None:
    with pytest.raises(AssertionError, match="labels: 3, expected 4"):
        scale._equal("labels", 3, 4)
    own, mapped = scale._memory(1 << 30)  # no such process
    assert own == mapped == 0
    assert np.all(np.array(scale._memory(os.getpid())) > 0)
