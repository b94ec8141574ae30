"""Work directories: always there, made on load, inputs only."""

import pytest
from kedro.io import DatasetError

from vixml.core.directories import WorkDirectory
from vixml.datasets import WorkDirectoryDataset


class TestWorkDirectory:
    def test_always_exists_and_loading_makes_nothing(self, tmp_path):
        dataset = WorkDirectoryDataset(filepath=str(tmp_path / "a" / "work"))
        assert dataset.exists()
        assert dataset.load() == WorkDirectory(tmp_path / "a" / "work")
        assert not (tmp_path / "a").exists()

    def test_is_no_output(self, tmp_path):
        with pytest.raises(DatasetError, match="is no output"):
            WorkDirectoryDataset(filepath=str(tmp_path)).save(1)
