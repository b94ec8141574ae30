"""Raw folders: any folder with a label file, and what is fabricated into one."""

import pytest
from kedro.io import DatasetError

from vixml.core.directories import Built, WorkDirectory
from vixml.core.errors import DataError
from vixml.datasets import RawFolderDataset


def build(work, kind="tokens", **files):
    folder = WorkDirectory(work).fresh("out")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return Built(folder, kind, {"count": len(files)})


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
        with pytest.raises(DataError, match="contains your own files"):
            dataset.check_replaceable()
        with pytest.raises(DatasetError, match="contains your own files"):
            dataset.save(self.catalogue(tmp_path))
        assert (folder / "lbl.json").read_text() == "mine"

    def test_fills_an_empty_folder(self, tmp_path):
        (tmp_path / "raw").mkdir()
        dataset = RawFolderDataset(filepath=str(tmp_path / "raw"))
        dataset.save(self.catalogue(tmp_path))
        assert dataset.exists()
