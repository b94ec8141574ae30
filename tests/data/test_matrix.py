import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from vixml.core.errors import DataError, StateError
from vixml.data.matrix import read_matrix, write_matrix


def matrix(pairs, shape=(4, 6), values=None):
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    data = np.ones(len(pairs), np.float32) if values is None else np.asarray(values, np.float32)
    return sparse.csr_matrix((data, (rows, columns)), shape=shape)


def same(left, right):
    return left.shape == right.shape and left.dtype == right.dtype and (left != right).nnz == 0


@pytest.mark.parametrize("pairs", [[], [(0, 5), (0, 1), (3, 2)]])
def test_round_trip_of_a_binary_matrix_stores_no_values(tmp_path, pairs):
    write_matrix(tmp_path / "m.npz", matrix(pairs))
    loaded = read_matrix(tmp_path / "m.npz")
    assert same(loaded, matrix(pairs))
    assert loaded.has_sorted_indices
    assert "data" not in np.load(tmp_path / "m.npz").files


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 5)), st.floats(0.5, 9, width=32), max_size=12))
def test_round_trip_of_any_values(tmp_path_factory, entries):
    file = tmp_path_factory.mktemp("csr") / "m.npz"
    expected = matrix(list(entries), values=list(entries.values()))
    write_matrix(file, expected)
    assert same(read_matrix(file), expected)


def test_the_last_label_is_kept_where_nothing_points_to_it(tmp_path):
    write_matrix(tmp_path / "m.npz", matrix([(0, 0)], shape=(1, 1000)))
    assert read_matrix(tmp_path / "m.npz").shape == (1, 1000)


def test_another_file_is_refused_by_name(tmp_path):
    with pytest.raises(StateError, match=r"m\.npz: the matrix is missing"):
        read_matrix(tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes(b"not a matrix")
    with pytest.raises(DataError, match=r"m\.npz: the file is not a sparse matrix"):
        read_matrix(tmp_path / "m.npz")
