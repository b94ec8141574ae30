"""Which file a table's name of an image means."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from vixml.images.names import find_image

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "été/fin août.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("on_disk", [COMPOSED, DECOMPOSED, f"images/{COMPOSED}", f"images/{DECOMPOSED}"])
@pytest.mark.parametrize("in_table", [COMPOSED, DECOMPOSED, COMPOSED.replace("/", "\\")])
def test_a_name_is_the_same_however_its_accents_are_written(tmp_path, on_disk, in_table):
    file = tmp_path / on_disk
    file.parent.mkdir(parents=True)
    file.touch()
    found = find_image(tmp_path, in_table)
    assert found is not None
    assert (tmp_path / found).samefile(file)


def test_a_new_file_is_found(tmp_path):
    assert find_image(tmp_path, COMPOSED) is None
    (tmp_path / DECOMPOSED).parent.mkdir()
    assert find_image(tmp_path, COMPOSED) is None
    (tmp_path / DECOMPOSED).touch()
    assert find_image(tmp_path, COMPOSED) == DECOMPOSED


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "", "a\0b", "gone.jpg"])
def test_nothing_is_found_outside_the_root(tmp_path, name):
    (tmp_path.parent / "a.jpg").touch()
    assert find_image(tmp_path, name) is None


def test_a_name_that_is_not_utf8_is_in_nobodys_way(tmp_path: Path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.jpg")).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    (tmp_path / "café.jpg").touch()
    assert find_image(tmp_path, unicodedata.normalize("NFD", "café.jpg")) == "café.jpg"
