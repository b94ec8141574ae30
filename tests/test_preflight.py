"""What is said and looked for before the first node."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.test_config import write_raw

from vixml.core.directories import SealedDirectory
from vixml.core.errors import ConfigError, StateError
from vixml.pipeline_registry import register_pipelines
from vixml.preflight import PreflightHooks


@pytest.fixture
def no_models(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_models_that_cannot_be_had_stop_a_run_before_ingestion(kedro_run, project, tmp_path, no_models):
    raw = write_raw(tmp_path / "shop")
    with pytest.raises(ConfigError, match="hub cannot be reached") as caught:
        kedro_run("study", params={"data_root": str(raw)})
    for shortcut in ("encoder_backbone", "decoder_backbone", "vision_backbone"):
        assert f"{shortcut}=tiny" in str(caught.value)
    assert not (project / "data/03_primary").exists()


def test_what_needs_no_model_runs_without(kedro_run, project, tmp_path, no_models, caplog):
    with caplog.at_level(logging.INFO):
        kedro_run("ingestion", params={"data_root": str(write_raw(tmp_path / "shop"))})
    assert (project / "data/03_primary/shop/dataset/items_train.parquet").is_file()
    assert "Recipe:" not in caplog.text


def test_a_run_that_trains_says_its_recipes_first(kedro_run, tmp_path, no_models, caplog):
    raw = {"data_root": str(write_raw(tmp_path / "shop"))}
    kedro_run("ingestion", params=raw)
    with caplog.at_level(logging.INFO), pytest.raises(ConfigError):
        kedro_run("encoder_text", params=raw)
    assert caplog.text.count("Recipe: small-data (encoder), for about 30 training queries") == 1


class TestTheBanksVisionModel:
    """What a run reads must be what it will be called by."""

    def begin(self, pipeline, *, bank, wanted):
        meta = {} if bank is None else {"vision": {"model": bank}}
        bank = SealedDirectory(Path("data/image_bank"), "image-bank", meta, {})
        catalog = SimpleNamespace(exists=lambda name: True, load=lambda name: bank)
        hooks = PreflightHooks()
        hooks._config = {"parameters": {"vision": {"model": wanted}}}
        nodes = [node for node in register_pipelines()[pipeline].nodes if node.name.endswith((".evaluate", ".compare"))]
        hooks.before_pipeline_run({}, SimpleNamespace(nodes=nodes), catalog)

    def test_another_one_is_an_error_that_names_both(self):
        with pytest.raises(StateError, match=r"vision\.model=tiny.*vision\.model=hf-hub:x.*vision_backbone=tiny"):
            self.begin("encoder_vision", bank="tiny", wanted="hf-hub:x")

    @pytest.mark.parametrize(
        ("pipeline", "bank"), [("encoder_vision", "hf-hub:x"), ("encoder_vision", None), ("encoder_text", "tiny")]
    )
    def test_the_same_an_older_bank_and_a_text_variant_pass(self, pipeline, bank):
        self.begin(pipeline, bank=bank, wanted="hf-hub:x")
