import json

import pytest
from kedro.io import DatasetError

from vixml.core.directories import Built, WorkDirectory
from vixml.core.errors import DataError
from vixml.datasets import RawFolderDataset, SealedDirectoryDataset, WorkDirectoryDataset


def build(work, kind="tokens", **files):
    folder = WorkDirectory(work).fresh("out")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return Built(folder, kind, {"count": len(files)})


class TestWorkDirectory:
    def test_always_exists_and_loading_makes_nothing(self, tmp_path):
        dataset = WorkDirectoryDataset(filepath=str(tmp_path / "a" / "work"))
        assert dataset.exists()
        assert dataset.load() == WorkDirectory(tmp_path / "a" / "work")
        assert not (tmp_path / "a").exists()

    def test_is_no_output(self, tmp_path):
        with pytest.raises(DatasetError, match="is no output"):
            WorkDirectoryDataset(filepath=str(tmp_path)).save(1)


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


class TestRawFolder:
    def catalogue(self, tmp_path, text="{}"):
        return build(tmp_path / "work", "raw-catalogue", lbl_json=text)

    def test_takes_any_folder_with_a_label_file(self, tmp_path):
        dataset = RawFolderDataset(filepath=str(tmp_path))
        assert not dataset.exists()
        with pytest.raises(DatasetError, match="no label file"):
            dataset.load()
        (tmp_path / "lbl.json.gz").write_bytes(b"")
        assert dataset.exists()
        assert dataset.load() == tmp_path

    def test_replaces_what_the_project_fabricated(self, tmp_path):
        dataset = RawFolderDataset(filepath=str(tmp_path / "raw"))
        dataset.save(self.catalogue(tmp_path, "old"))
        dataset.save(self.catalogue(tmp_path, "new"))
        assert (dataset.load() / "lbl.json").read_text() == "new"

    def test_never_replaces_a_users_folder(self, tmp_path):
        folder = tmp_path / "raw"
        folder.mkdir()
        (folder / "lbl.json").write_text("mine")
        dataset = RawFolderDataset(filepath=str(folder))
        with pytest.raises(DataError, match="holds files of yours"):
            dataset.check_replaceable()
        with pytest.raises(DatasetError, match="holds files of yours"):
            dataset.save(self.catalogue(tmp_path))
        assert (folder / "lbl.json").read_text() == "mine"

    def test_fills_an_empty_folder(self, tmp_path):
        (tmp_path / "raw").mkdir()
        dataset = RawFolderDataset(filepath=str(tmp_path / "raw"))
        dataset.save(self.catalogue(tmp_path))
        assert dataset.exists()
