"""Fingerprints of folders, whatever the names in them."""

from __future__ import annotations

import os

import pytest

from vixml.datasets.raw_folder import RawFolderDataset
from vixml.freshness.contents import content_of


def test_a_name_that_is_not_utf8_is_part_of_the_content(tmp_path):
    (tmp_path / "q.csv").write_text("id\n1\n")
    folder = RawFolderDataset(filepath=str(tmp_path))
    before = content_of(folder).fingerprint
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.bin")).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    assert content_of(folder).fingerprint not in (None, before)
    assert "udce9" in str(folder.preview())
