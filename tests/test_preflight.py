"""What is said and looked for before the first node."""

import logging

import pytest
from tests.test_config import write_raw

from vixml.core.errors import ConfigError


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
    assert caplog.text.count("Recipe: small-data (encoder), for 30 training queries") == 1
