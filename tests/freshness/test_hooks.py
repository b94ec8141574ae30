"""Stale inputs are warned about, and after an error the user is told how to go on."""

import json
import logging
import sys

import pytest

from vixml.freshness import hooks

RUN = {"pipeline_names": ["study"], "env": "mine", "runtime_params": {"a": {"b": 1}, "seed": 2}}


class TestGoOn:
    def test_what_was_typed_is_repeated(self, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["/x/bin/kedro", "run", "--pipelines=study", "--params", "name=two words"])
        assert hooks.go_on_command(RUN) == (
            "kedro run --pipelines=study --params 'name=two words' --only-missing-outputs"
        )

    @pytest.mark.parametrize(
        ("typed", "repeated"),
        [
            (["--params", "resume=never"], ""),
            (["--params=resume=never"], ""),
            (["--params", "seed=2,resume=never"], "--params seed=2 "),
            (["--params=resume=never,seed=2"], "--params=seed=2 "),
        ],
    )
    def test_beginning_anew_is_not_repeated(self, monkeypatch, typed, repeated):
        monkeypatch.setattr(sys, "argv", ["kedro", "run", *typed])
        assert hooks.go_on_command(RUN) == f"kedro run {repeated}--only-missing-outputs"

    def test_else_it_is_composed(self, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["pytest"])
        assert hooks.go_on_command(RUN) == (
            "kedro run --pipelines=study --env=mine --params=a.b=1,seed=2 --only-missing-outputs"
        )


def test_stale_inputs_are_warned_about(kedro_run, project, caplog):
    fabrication = {"num_train": 20, "num_test": 10, "num_labels": 12, "labels_per_family": 6, "image_pixels": 16}
    small = {"fabrication": fabrication, "vision": {"tiny_image_size": 32}}
    kedro_run("fabrication", "ingestion", params=small)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="vixml.freshness.hooks"):
        kedro_run("image_embedding", params=small)
    assert not [r for r in caplog.records if r.name == "vixml.freshness.hooks"]
    document = json.loads((project / "data/03_primary/demo/.dataset.origin.json").read_text())
    assert document["inputs"]["raw"]
    kedro_run("image_embedding", params={**small, "data": {"max_images_per_item": 1}})
    warnings = [r.getMessage() for r in caplog.records if r.name == "vixml.freshness.hooks"]
    assert len(warnings) == 1
    assert "dataset" in warnings[0]
    assert "data.max_images_per_item: 3 -> 1" in warnings[0]
    assert "kedro run --only-missing-outputs --pipelines=ingestion" in warnings[0]
