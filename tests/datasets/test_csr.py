import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError
from scipy import sparse

from vixml.datasets import CSRDataset


def matrix(pairs, shape=(4, 6), values=None):
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    data = np.ones(len(pairs), np.float32) if values is None else np.asarray(values, np.float32)
    return sparse.csr_matrix((data, (rows, columns)), shape=shape)


def same(left, right):
    return left.shape == right.shape and left.dtype == right.dtype and (left != right).nnz == 0


@pytest.mark.parametrize("pairs", [[], [(0, 5), (0, 1), (3, 2)]])
def test_round_trip_of_a_binary_matrix_stores_no_values(tmp_path, pairs):
    dataset = CSRDataset(filepath=str(tmp_path / "deep" / "m.npz"))
    assert not dataset.exists()
    dataset.save(matrix(pairs))
    loaded = dataset.load()
    assert dataset.exists()
    assert same(loaded, matrix(pairs))
    assert loaded.has_sorted_indices
    assert "data" not in np.load(tmp_path / "deep" / "m.npz").files


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 5)), st.floats(0.5, 9, width=32), max_size=12))
def test_round_trip_of_any_values(tmp_path_factory, entries):
    dataset = CSRDataset(filepath=str(tmp_path_factory.mktemp("csr") / "m.npz"))
    expected = matrix(list(entries), values=list(entries.values()))
    dataset.save(expected)
    assert same(dataset.load(), expected)


def test_the_last_label_is_kept_where_nothing_points_to_it(tmp_path):
    dataset = CSRDataset(filepath=str(tmp_path / "m.npz"))
    dataset.save(matrix([(0, 0)], shape=(1, 1000)))
    assert dataset.load().shape == (1, 1000)


def test_an_interrupted_save_leaves_the_old_matrix(tmp_path, monkeypatch):
    dataset = CSRDataset(filepath=str(tmp_path / "m.npz"))
    dataset.save(matrix([(0, 1)]))

    def torn(stream, **_):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", torn)
    with pytest.raises(DatasetError, match="disk full"):
        dataset.save(matrix([(2, 2)]))
    assert same(dataset.load(), matrix([(0, 1)]))
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_another_file_is_refused_by_name(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"not a matrix")
    with pytest.raises(DatasetError, match=r"m\.npz: the file is not a sparse matrix"):
        CSRDataset(filepath=str(tmp_path / "m.npz")).load()


def test_preview_shows_few_rows(tmp_path):
    dataset = CSRDataset(filepath=str(tmp_path / "m.npz"))
    dataset.save(matrix([(0, 5), (0, 1)]))
    shown = dataset.preview(nrows=2)
    assert shown["columns"] == ["row", "entries", "first columns"]
    assert shown["data"] == [[0, 2, "[1, 5]"], [1, 0, "[]"]]
