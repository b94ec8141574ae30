from pathlib import Path

import pytest
from kedro.io import DatasetError

from vixml.core.directories import Built, write_json
from vixml.datasets import RunArchiveDataset, TextFileDataset


def built(folder: Path, name: str) -> Built:
    work = folder / f"work-{name}"
    work.mkdir()
    write_json(work / "result.json", {"id": name, "name": "", "result": {"metrics": {"P@1": 0.5}}})
    return Built(work, "result", {"id": name})


def test_runs_are_added_and_listed_newest_first_and_the_oldest_go(tmp_path):
    archive = RunArchiveDataset(filepath=str(tmp_path / "runs"), keep=2)
    assert not archive.exists()
    assert archive.load().runs == []
    for name in ("2026a", "2026b", "2026c"):
        archive.save(built(tmp_path, name))
    assert archive.exists()
    assert [run.id for run in archive.load().runs] == ["2026c", "2026b"]
    assert archive.preview()["data"][0] == ["2026c", "", 50.0, 0.0, 0.0]


def test_a_folder_without_a_seal_does_not_count_and_a_torn_file_is_named(tmp_path):
    archive = RunArchiveDataset(filepath=str(tmp_path / "runs"))
    archive.save(built(tmp_path, "2026a"))
    (tmp_path / "runs" / "2026b").mkdir()
    assert [run.id for run in archive.load().runs] == ["2026a"]
    (tmp_path / "runs/2026a/result.json").write_text("{", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"result\.json"):
        archive.load()


def test_text_is_written_and_read_and_a_missing_file_is_named(tmp_path):
    data = TextFileDataset(filepath=str(tmp_path / "deep" / "table.md"))
    assert not data.exists()
    with pytest.raises(DatasetError, match=r"table\.md"):
        data.load()
    data.save("ünï\n")
    assert data.exists()
    assert data.load() == "ünï\n"
