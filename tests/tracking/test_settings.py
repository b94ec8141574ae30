"""Settings of tracking: a misspelt one is named, credentials come from their file only."""

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.pipeline import pipeline

from vixml.core.errors import ConfigError
from vixml.tracking.hooks import TrackingHooks
from vixml.tracking.settings import read_settings

_SPEC = importlib.util.spec_from_file_location("tracking_harness", Path(__file__).with_name("conftest.py"))
harness = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(harness)


@pytest.mark.parametrize(
    ("change", "names"),
    [({"vixml": {"system_metric": True}}, "system_metric"), ({"servr": {}}, "servr"), ({"server": {"uri": 1}}, "uri")],
)
def test_a_misspelt_setting_is_named(config, tmp_path, change, names):
    with pytest.raises(ConfigError, match=names):
        harness.drive(TrackingHooks(), {**config, **change}, pipeline([]), folder=tmp_path)


def test_credentials_come_from_their_file_only(config, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "old")
    config["server"]["credentials"] = "server"
    context = SimpleNamespace(config_loader=harness.Loader(config), project_path=tmp_path)
    with pytest.raises(ConfigError, match=r"credentials `server`.*credentials\.yml"):
        read_settings(context)
    context.config_loader["credentials"] = {"server": {"MLFLOW_TRACKING_TOKEN": "new"}}
    read_settings(context)
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == "new"


@pytest.mark.parametrize(("name", "refused"), [("what?", True), ("50%", True), ("a#1 b,c'ü", False)])
def test_a_project_whose_name_means_something_else_in_an_address_is_refused(config, tmp_path, name, refused):
    """MLflow would keep its database or its artefacts beside the project."""
    folder = tmp_path / name
    folder.mkdir()
    config["server"]["mlflow_tracking_uri"] = f"sqlite:///{folder}/mlflow.db"
    context = SimpleNamespace(config_loader=harness.Loader(config), project_path=folder)
    if refused:
        with pytest.raises(ConfigError, match=r"`[?%]` has a special meaning.*conf/local/mlflow\.yml"):
            read_settings(context)
        config["server"]["mlflow_tracking_uri"] = f"sqlite:///{tmp_path}/mlflow.db"
    read_settings(context)
