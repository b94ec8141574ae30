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


def test_a_clock_that_was_set_back_makes_no_run_older_than_those_before(tmp_path, caplog):
    archive = RunArchiveDataset(filepath=str(tmp_path / "runs"), keep=2)
    for name in ("20300101T000000.999-aaaaaa", "20261127T120000.000-bbbbbb", "20261127T120001.000-cccccc"):
        archive.save(built(tmp_path, name))
    runs = archive.load().runs
    assert [run.id for run in runs] == ["20300101T000001.001-cccccc", "20300101T000001.000-bbbbbb"]
    assert [run.path.name for run in runs] == [run.id for run in runs]
    assert "The clock is behind the newest stored run" in caplog.text


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
