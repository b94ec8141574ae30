"""Sealed directories: saving moves and seals; what is incomplete or of another kind is refused."""

import json

import pytest
from kedro.io import DatasetError

from vixml.core.directories import Built, WorkDirectory
from vixml.datasets import SealedDirectoryDataset


def build(work, kind="tokens", **files):
    folder = WorkDirectory(work).fresh("out")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return Built(folder, kind, {"count": len(files)})


class TestSealedDirectory:
    def test_saving_moves_and_seals(self, tmp_path):
        dataset = SealedDirectoryDataset(filepath=str(tmp_path / "tokens"), kind="tokens")
        assert not dataset.exists()
        dataset.save(build(tmp_path / "work", a_txt="1"))
        assert dataset.exists()
        assert dataset.load().meta == {"count": 1}
        assert (dataset.load().path / "a.txt").read_text() == "1"
        assert json.loads(dataset.preview())["bytes"] == {"a.txt": 1}

    def test_a_folder_without_a_seal_does_not_exist(self, tmp_path):
        (tmp_path / "tokens").mkdir()
        dataset = SealedDirectoryDataset(filepath=str(tmp_path / "tokens"), kind="tokens")
        assert not dataset.exists()
        with pytest.raises(DatasetError, match="no complete output is here"):
            dataset.load()

    def test_another_kind_is_refused_both_ways(self, tmp_path):
        built = build(tmp_path / "work", a_txt="1")
        with pytest.raises(DatasetError, match="built something else"):
            SealedDirectoryDataset(filepath=str(tmp_path / "x"), kind="model").save(built)
        SealedDirectoryDataset(filepath=str(tmp_path / "x"), kind="tokens").save(built)
        with pytest.raises(DatasetError, match="holds something else"):
            SealedDirectoryDataset(filepath=str(tmp_path / "x"), kind="model").load()
