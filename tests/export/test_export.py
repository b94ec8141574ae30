"""The whole export: files, report and card, whole or not at all."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal

import numpy as np
import pandas as pd
import pytest

from vixml.core.errors import ConfigError, StateError, StorageError
from vixml.export import export
from vixml.export.export import export_predictor
from vixml.serving.bundle import PredictorBundle

from .conftest import shop

pytest.importorskip("faiss", reason="faiss is not installed (extra `cpu`)")


def test_everything_is_there(model, tmp_path):
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"metrics": {"P@1": 0.25}, "queries": 48, "objective": "prime"}), encoding="utf-8")
    report = export_predictor(model, tmp_path / "out", metrics=metrics)
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {*report["files"], "export.json"}
    assert {"README.md", "labels.parquet", "labels_int8.faiss", "encoder/modules.json"} <= files
    bundle = PredictorBundle.open(model)
    table = pd.read_parquet(tmp_path / "out" / "labels.parquet")
    assert table["label_id"].tolist() == bundle.labels["uid"].tolist()
    np.testing.assert_array_equal(np.stack(table["vector"].tolist()), bundle.label_prototypes)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "25.00" in card
    assert "prime" in card
    assert "published without probabilities" in card
    assert report["indexes"][0]["recall@10"] == 1


def test_vectors_alone_of_any_model(tmp_path):
    shop.make_predictor(tmp_path / "raw", tmp_path, "encoder_vision")
    with pytest.raises(ConfigError, match="looks at images"):
        export_predictor(tmp_path / "encoder_vision", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = export_predictor(tmp_path / "encoder_vision", tmp_path / "out", encoder=False, indexes=False)
    assert report["files"] == ["README.md", "labels.parquet"]
    with pytest.raises(StateError, match="exists already"):
        export_predictor(tmp_path / "encoder_vision", tmp_path / "out", encoder=False)


@pytest.mark.parametrize("at", ["write_table", "write_sentence_encoder", "model_card", "write_json"])
def test_an_export_that_is_killed_leaves_nothing_under_its_name_and_can_be_typed_again(model, tmp_path, at):
    """SIGKILL, for real, behind each of the steps."""
    whole = getattr(export, at)

    def last(*args, **options):
        whole(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    def body():
        setattr(export, at, last)  # in the child alone
        export_predictor(model, tmp_path / "out", indexes=False)

    child = multiprocessing.get_context("fork").Process(target=body)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".out.new"]
    report = export_predictor(model, tmp_path / "out", indexes=False)
    assert {"README.md", "encoder/modules.json", "labels.parquet"} <= set(report["files"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("at", ["write_table", "write_sentence_encoder", "write_json"])
def test_an_export_on_a_full_disk_says_so_and_leaves_nothing(model, tmp_path, monkeypatch, at):
    whole = getattr(export, at)

    def full(*args, **options):
        whole(*args, **options)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(export, at, full)
        with pytest.raises(StorageError, match="the disk is full"):
            export_predictor(model, tmp_path / "out", indexes=False)
    assert list(tmp_path.iterdir()) == []
    export_predictor(model, tmp_path / "out", indexes=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
