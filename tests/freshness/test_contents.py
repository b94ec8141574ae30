"""Fingerprints of folders, whatever the names in them, and what is written down of parameters."""

from __future__ import annotations

import os

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node

from vixml.datasets.raw_folder import RawFolderDataset
from vixml.freshness.contents import content_of
from vixml.freshness.origin import origin_of


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


def used(download):
    return download


def test_no_secret_of_the_parameters_is_written_and_a_changed_one_is_noticed():
    """A hash tells one secret from another; parameters without any are recorded as they are."""

    def recorded(value):
        catalog = DataCatalog({"params:download": MemoryDataset({"url": "https://shop/a", "token": value})})
        return origin_of(node(used, "params:download", "out", name="n"), catalog).parameters

    one, other, none = (recorded(value) for value in ("hunter2hunter2", "hunter3hunter3", None))
    assert "hunter" not in str([one, other])
    assert one != other
    assert none == {"params:download": {"url": "https://shop/a", "token": None}}
