"""The model card says what is known, and that the rest is not."""

from __future__ import annotations

import yaml

from vixml.calibration.calibration import NO_VALIDATION, Absent
from vixml.export.card import model_card

FACTS = {
    "dataset": "shop | one",
    "variant": "encoder_text",
    "backbone": "some/network",
    "max_length": 32,
    "objective": None,
    "labels": 1500,
    "dim": 64,
    "train_queries": 3000,
    "ranking": "evidence",
    "version": "0.1",
    "fingerprint": "abc",
}
INDEXES = [{"form": "int8", "file": "x", "bytes": 1000, "recall@1": 1.0, "recall@10": 0.994}]


def _card(**changes):
    given = {"files": [("`a`", "b")], "indexes": INDEXES, "metrics": None, "calibration": Absent(absent=NO_VALIDATION)}
    return model_card(FACTS, **{**given, **changes})


def test_the_head_is_what_hubs_read():
    head = yaml.safe_load(_card().split("---")[1])
    assert head["library_name"] == "sentence-transformers"


def test_what_is_known_is_there_and_nothing_else():
    card = _card()
    assert "| labels | 1,500 |" in card
    assert "shop \\| one" in card
    assert "objective" not in card
    assert "not at hand" in card
    assert "99.40 %" in card
    assert NO_VALIDATION in card
    assert "`evidence`, which is better" in card


def test_figures_of_the_vectors_alone_come_first():
    metrics = {"metrics": {"P@1": 0.6, "P@5": 0.4}, "metrics_plain": {"P@1": 0.5, "P@5": 0.3}, "queries": 800}
    card = _card(metrics=metrics)
    assert "On 800 test queries" in card
    assert card.index("| these vectors alone | 50.00 | 30.00 |") < card.index("60.00 | 40.00 |")
    plain = _card(metrics={"metrics": {"P@1": 0.6}, "queries": 800})
    assert "| all labels ranked by these vectors | 60.00 |" in plain
