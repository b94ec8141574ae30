import json

import pandas as pd
import pytest
from kedro.io import DatasetError
from scipy import sparse

from vixml.core.directories import Built, WorkDirectory
from vixml.data.dataset import Dataset, build_dataset
from vixml.data.sides import QUERY_SIDES, Side
from vixml.datasets import IngestedDataset


@pytest.fixture
def dataset(tmp_path):
    items = pd.DataFrame({"uid": ["a", "b", "c"], "text": "é", "images": [[], ["a.png", "b.png"], []]})
    matrix = sparse.csr_matrix((3, 3), dtype="float32")
    parts = {f"items_{side}": items for side in Side}
    parts |= {f"{kind}_{split}": matrix for kind in ("relevance", "filter") for split in QUERY_SIDES}
    made = IngestedDataset(filepath=str(tmp_path / "dataset"))
    made.save(build_dataset(parts, WorkDirectory(tmp_path / "work")))
    return made


def test_loading_gives_a_handle(dataset):
    assert isinstance(dataset.load(), Dataset)
    assert dataset.load().items("test")["uid"].tolist() == ["a", "b", "c"]


def test_the_preview_shows_the_first_items_of_each_side(dataset):
    shown = json.loads(json.dumps(dataset.preview(nrows=2)))
    assert shown["columns"] == ["side", "uid", "text", "images"]
    assert len(shown["data"]) == len(shown["index"]) == 8
    assert shown["data"][:3] == [
        ["train", "a", "é", ""],
        ["train", "b", "é", "a.png, b.png"],
        ["validation", "a", "é", ""],
    ]


def test_another_directory_is_refused(dataset, tmp_path):
    folder = WorkDirectory(tmp_path / "work").fresh("other")
    with pytest.raises(DatasetError, match="built something else"):
        dataset.save(Built(folder, "model"))
    with pytest.raises(DatasetError, match="no complete output is here"):
        IngestedDataset(filepath=str(tmp_path / "nowhere")).load()
