"""A model as MLflow's; that it answers alike is tested in tests/serving/test_same_everywhere.py."""

import importlib
from types import SimpleNamespace

import pytest

from vixml.core.errors import StateError
from vixml.tracking import export


class Killed(BaseException):
    """What no `except Exception` catches."""


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A predictor, and MLflow writing a folder of two files; set `killed` to end in between."""
    state = SimpleNamespace(killed=False)

    def save_model(path, **_):
        folder = tmp_path / path
        folder.mkdir()
        (folder / "MLmodel").write_text("flavors")
        if state.killed:
            raise Killed
        (folder / "python_model.py").write_text("code")

    settings = SimpleNamespace(dataset="demo", variant="encoder_text")
    bundle = SimpleNamespace(folder=tmp_path, settings=settings, sealed=SimpleNamespace(fingerprint="abc"))
    monkeypatch.setattr(export.PredictorBundle, "open", lambda source: bundle)
    monkeypatch.setattr(importlib.import_module("mlflow.pyfunc"), "save_model", save_model)
    return state


def test_an_export_that_is_killed_leaves_nothing_under_its_name_and_can_be_typed_again(source, tmp_path):
    target = tmp_path / "deep" / "model"
    source.killed = True
    with pytest.raises(Killed):
        export.export_model(tmp_path, target)
    assert not target.exists()
    source.killed = False
    assert export.export_model(tmp_path, target) is None
    assert sorted(file.name for file in target.iterdir()) == ["MLmodel", "python_model.py"]
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_a_folder_that_exists_is_not_replaced(source, tmp_path):
    with pytest.raises(StateError, match="exists already"):
        export.export_model(tmp_path, tmp_path)
