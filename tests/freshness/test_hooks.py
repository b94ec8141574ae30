"""Stale inputs are warned about, and after an error the user is told how to go on."""

import json
import logging
import sys
from types import SimpleNamespace

import pytest
from kedro.framework.project import settings

from vixml.core.directories import Built, publish
from vixml.freshness import hooks
from vixml.pipeline_registry import register_pipelines

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


def test_after_an_error_with_a_remedy_the_same_command_is_not_offered():
    plain = hooks.go_on_message("encode", ["read"], 3, RUN)
    refused = hooks.go_on_message("encode", ["read"], 3, RUN, refused=True)
    assert "To go on:\n" in plain
    assert "kedro run" in plain
    assert "kedro run" not in refused, "it would end with the same error"
    assert "--only-missing-outputs" in refused


def test_the_recipe_of_a_variant_is_named():
    catalog = SimpleNamespace(exists="params:encoder_recipe".__eq__, load={"params:encoder_recipe": "untrained"}.get)
    assert hooks._recipe_of("encoder_text.tokenise", catalog) == " (the encoder recipe of this run: untrained)"
    assert hooks._recipe_of("ingestion.ingest", catalog) == ""


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

    changed = {**small, "data": {"max_images_per_item": 1}}
    with settings.SESSION_CLASS.create(project_path=project, runtime_params=changed) as session:
        said = hooks.stale_inputs(register_pipelines()["label_audit"], session.load_context().catalog)
    assert any("dataset" in line for line in said)
    assert not [line for line in said if "hard_negatives" in line], "no variant was trained: nothing is out of date"


class TestPredictionReadsOnePredictor:
    """It is given all that there are, and asks the one that its settings name."""

    def catalog(self, model):
        return SimpleNamespace(load={"params:prediction": {"model": str(model)}}.__getitem__)

    def test_those_not_asked_are_not_warned_about(self):
        prediction = register_pipelines()["prediction"]
        found = hooks._predictors_not_asked(prediction, self.catalog("encoder_text"))
        assert found == {f"{name}.predictor" for name in ("encoder_vision", "decoder_text", "decoder_vision")}
        assert hooks._predictors_not_asked(register_pipelines()["label_update"], self.catalog("encoder_text")) == set()

    @pytest.mark.parametrize(("trained_again", "warned"), [(True, True), (False, False)])
    def test_an_updated_predictor_of_an_earlier_model_is(self, tmp_path, trained_again, warned):
        for name, model in (("updated_predictor", "first"), ("predictor", "second" if trained_again else "first")):
            (tmp_path / "made" / name).mkdir(parents=True)
            publish(Built(tmp_path / "made" / name, "predictor", {"model": model}), tmp_path / name)
        said = hooks.updated_predictor_is_old(
            register_pipelines()["prediction"], self.catalog(tmp_path / "updated_predictor")
        )
        assert bool(said) is warned
        assert not said or "kedro run --pipelines=label_update" in said

    def test_a_trained_predictor_is_none(self, tmp_path):
        assert hooks.updated_predictor_is_old(register_pipelines()["prediction"], self.catalog("encoder_text")) is None
