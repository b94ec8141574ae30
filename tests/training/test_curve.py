"""The curve: records within an epoch, and a torn line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vixml.params.variant import VariantParams
from vixml.training.curve import Curve


def test_the_curve_has_records_within_an_epoch(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Their mean over an epoch is the epoch's loss; `log_every` sets how many there are."""
    for every, steps in ((0, [1, 2, 3, 4, 5, 6, 7, 8]), (2, [2, 4, 6, 8])):
        training = {**tiny.params.training.model_dump(), "log_every": every}
        params = VariantParams(**{**tiny.params.model_dump(), "training": training})
        trainer = tiny.trainer(tmp_path / str(every), params=params)
        trainer.fit(2, desc="train")
        records = trainer.curve.records()
        inner = [record for record in records if "batch/loss" in record]
        assert [record["step"] for record in inner] == steps
        for epoch, record in enumerate((r for r in records if "loss" in r), start=1):
            mean = np.mean([r["batch/loss"] for r in inner if r["epoch"] == epoch])
            assert record["loss"] == pytest.approx(mean, abs=2e-6)


def test_curve_survives_a_torn_line(tmp_path: Path) -> None:
    """A half-written last line is ignored and dropped by the next rewind."""
    curve = Curve(tmp_path / "curve.jsonl")
    curve.log(step=1, epoch=1, loss=0.5)
    curve.log(step=2, epoch=2, loss=0.4)
    with curve.file.open("a") as stream:
        stream.write('{"step": 3, "epo')
    assert [record["step"] for record in curve.records()] == [1, 2]
    curve.rewind(1)
    assert curve.file.read_text() == '{"step": 1, "epoch": 1, "loss": 0.5}\n'
