"""Soft labels are read whole, or refused where they are those of other data."""

from __future__ import annotations

import pytest
import scipy.sparse as sp

from vixml.core.directories import Built, publish
from vixml.core.errors import StateError
from vixml.data.matrix import write_matrix
from vixml.data.soft_labels import KIND, SOFT_LABELS, read_soft_labels


def test_what_was_written_is_read_and_other_data_are_refused(tmp_path):
    soft = sp.random(6, 9, density=0.3, format="csr", random_state=0, dtype="float32")
    folder = tmp_path / "work"
    folder.mkdir()
    write_matrix(folder / SOFT_LABELS, soft)
    sealed = publish(Built(folder, KIND, {}), tmp_path / "soft_labels")
    assert abs(read_soft_labels(sealed, sp.csr_matrix((6, 9))) - soft).max() == 0
    with pytest.raises(StateError, match="belong to other data") as caught:
        read_soft_labels(sealed, sp.csr_matrix((7, 9)))
    assert "Found: 6 queries and 9 labels" in str(caught.value)
