import base64

import pytest
from kedro.io import DatasetError

from vixml.datasets import PageDataset, PictureDataset


def test_a_picture_round_trips_and_its_preview_is_the_file(tmp_path):
    dataset = PictureDataset(filepath=str(tmp_path / "deep" / "sheet.png"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="the file is missing"):
        dataset.load()
    dataset.save(b"\x89PNG bytes")
    assert dataset.load() == b"\x89PNG bytes"
    assert base64.b64decode(dataset.preview()) == b"\x89PNG bytes"


def test_the_preview_of_a_page_is_its_title_and_place_without_its_scripts(tmp_path):
    dataset = PageDataset(filepath=str(tmp_path / "08_reporting" / "demo" / "report.html"))
    dataset.save("<!doctype html><title>ViXML &amp; co</title><script>alert(1)</script>")
    preview = dataset.preview()
    assert "ViXML &amp; co" in preview
    assert "08_reporting/demo/report.html" in preview
    assert "script" not in preview
    assert str(tmp_path) not in preview
