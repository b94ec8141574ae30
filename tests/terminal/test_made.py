"""A stage's result in a few words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vixml.core.directories import Built
from vixml.terminal.made import describe, percents


def built(**meta):
    return Built(Path(), "kind", meta)


SIDES = {"train": {"items": 3000}, "validation": {"items": 0}, "test": {"items": 800}, "label": {"items": 1500}}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (
            {"dataset": built(), "data_report": {"sides": SIDES}},
            "3,000 training and 800 test queries, 1,500 labels",
        ),
        (
            {"data_report": {"sides": {**SIDES, "validation": {"items": 12}}}},
            "3,000 training, 12 validation and 800 test queries, 1,500 labels",
        ),
        (
            {"encoder_text.model": built(epochs=20, steps=1240, parameters=791680), "encoder_text.curve": []},
            "trained 20 epochs, 1,240 steps; 0.79 M parameters",
        ),
        ({"encoder_text.metrics": {"metrics": {"P@1": 0.5, "R@10": 0.25}}}, "P@1 50.00 %, R@10 25.00 %"),
        (
            {"x.model": built(epochs=0, steps=0, parameters=22_700_000)},
            "untrained, as configured; 22.70 M parameters",
        ),
        ({"x.warmup": built(epoch=6, step=72)}, "trained to epoch 6, step 72"),
        ({"x.warmup": built(epoch=0, step=0)}, "nothing to train"),
        ({"x.evidence": built(mode="none")}, "ranks by the labels' vectors alone"),
        ({"x.evidence": built(mode="evidence")}, "ranks by all evidence"),
        (
            {"image_report": {"images_unique": 9, "dim": 8, "model": "tiny", "images_failed": 2}},
            "9 images as vectors of 8 numbers (tiny), 2 unreadable",
        ),
        (
            {"prediction": built(), "prediction_report": {"queries": 3, "predictions": 30}},
            "3 queries, 30 predictions",
        ),
        (
            {
                "x.updated_predictor": built(),
                "x.label_update_report": {"labels": 5, "added": 2, "updated": 1, "removed": 0},
            },
            "5 labels (2 added, 1 updated, 0 removed)",
        ),
        ({"baseline_metrics": {"a": {"P@1": 0.1}, "b": {"P@1": 0.3}}}, "2 baselines, best P@1 30.00 %"),
        ({"comparison_report": {"order": ["a"]}}, "1 run compared"),
        ({"prediction_report": {"queries": 1, "predictions": 10}}, "1 query, 10 predictions"),
        ({"label_frequency_plot": object()}, "plot of the label frequencies"),
        ({"something_else": object()}, ""),
    ],
)
def test_what_is_said(outputs, words):
    assert describe(outputs) == words


def test_metrics_that_were_not_measured_are_left_out():
    assert percents({"P@1": 1.0}, ["P@1", "P@3"]) == "P@1 100.00 %"
