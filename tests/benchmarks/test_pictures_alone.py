"""A data set whose queries have nothing but pictures: all else is as it was."""

from __future__ import annotations

import pytest
from benchmarks.pictures_alone import blank_queries

from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError
from vixml.demo.catalogue import fabricate
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams, FabricationParams


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    params = FabricationParams(num_train=30, num_test=10, num_labels=24, labels_per_family=6, image_pixels=16)
    return fabricate(params, 0, WorkDirectory(tmp_path_factory.mktemp("raw"))).path


def test_queries_lose_their_texts_and_nothing_else(raw, tmp_path):
    assert blank_queries(raw, tmp_path / "pictures", word="thing") == 40
    whole, blank = (
        ingest(folder, DataParams(text_fields="title+content"), 0) for folder in (raw, tmp_path / "pictures")
    )
    for side in ("train", "test"):
        before, after = (getattr(found, f"items_{side}") for found in (whole, blank))
        assert set(after["text"]) == {"thing"}
        assert before["text"].nunique() > 1
        assert after["uid"].tolist() == before["uid"].tolist()
        assert [list(few) for few in after["images"]] == [list(few) for few in before["images"]]
        for name in ("relevance", "filter"):
            assert (getattr(whole, f"{name}_{side}") != getattr(blank, f"{name}_{side}")).nnz == 0
    assert blank.items_label["text"].tolist() == whole.items_label["text"].tolist()
    assert all((tmp_path / "pictures" / file).is_file() for few in blank.items_test["images"] for file in few)


def test_an_existing_folder_is_not_touched(raw, tmp_path):
    with pytest.raises(ConfigError, match="exists already"):
        blank_queries(raw, tmp_path)
