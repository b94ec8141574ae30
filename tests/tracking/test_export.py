"""A model as MLflow's; that it answers alike is tested in tests/serving/test_same_everywhere.py."""

import errno
import importlib
import os
import shutil
from types import SimpleNamespace

import pytest

from vixml.core.errors import StateError, StorageError
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


@pytest.mark.parametrize("raised", ["errno", "shutil"])
def test_an_export_on_a_full_disk_says_so_and_leaves_nothing(source, tmp_path, monkeypatch, raised):
    target = tmp_path / "model"
    whole = importlib.import_module("mlflow.pyfunc").save_model

    def save_model(path, **options):
        whole(path=path, **options)
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        raise full if raised == "errno" else shutil.Error([("here", path, str(full))])

    with monkeypatch.context() as patched:
        patched.setattr(importlib.import_module("mlflow.pyfunc"), "save_model", save_model)
        with pytest.raises(StorageError, match="the disk is full"):
            export.export_model(tmp_path, target)
    assert list(tmp_path.iterdir()) == []
    export.export_model(tmp_path, target)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_exists_is_not_replaced(source, tmp_path):
    with pytest.raises(StateError, match="exists already"):
        export.export_model(tmp_path, tmp_path)
