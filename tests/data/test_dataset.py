import pandas as pd
import pytest
from scipy import sparse

from vixml.core.directories import WorkDirectory, publish
from vixml.core.errors import StateError
from vixml.data.dataset import PARTS, Dataset, build_dataset
from vixml.data.sides import QUERY_SIDES, Side


def parts():
    """A data set in which every part can be told from every other."""
    frames = {
        f"items_{side}": pd.DataFrame({"uid": [side] * (n + 1), "text": "red", "images": [["a.png"]] * (n + 1)})
        for n, side in enumerate(Side)
    }
    matrices = {
        f"{kind}_{split}": sparse.csr_matrix(([1.0], ([n], [m])), shape=(n + 1, 4), dtype="float32")
        for m, kind in enumerate(("relevance", "filter"))
        for n, split in enumerate(QUERY_SIDES)
    }
    return frames | matrices


@pytest.fixture
def dataset(tmp_path):
    return Dataset(publish(build_dataset(parts(), WorkDirectory(tmp_path / "work")), tmp_path / "dataset"))


def test_every_part_comes_back_under_its_name(dataset):
    for side in Side:
        pd.testing.assert_frame_equal(
            dataset.items(side).assign(images="-"), parts()[f"items_{side}"].assign(images="-"), check_dtype=False
        )
    for split in QUERY_SIDES:
        for kind in ("relevance", "filter"):
            assert (getattr(dataset, kind)(split) != parts()[f"{kind}_{split}"]).nnz == 0


def test_the_manifest_counts_items_and_pairs_and_the_directory_holds_the_parts_alone(dataset):
    assert dataset.directory.meta["items"] == {"train": 1, "validation": 2, "test": 3, "label": 4}
    assert dataset.directory.meta["pairs"] == {"train": 1, "validation": 1, "test": 1}
    assert {name.split(".")[0] for name in dataset.directory.files} == set(PARTS)


def test_a_part_is_read_when_it_is_asked_for(dataset):
    dataset.file("items_train").unlink()
    assert len(dataset.items("test")) == 3
    with pytest.raises(StateError, match=r"items_train\.parquet: the items are missing"):
        dataset.items("train")
