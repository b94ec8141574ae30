"""Label centroids against golden values and their slow definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import centroids as oracle

from vixml.negatives.centroids import label_centroids


def test_centroids_are_golden(golden_dir: Path) -> None:
    """Centroids equal the golden ones, zero rows for labels without query, whatever the block."""
    golden = np.load(golden_dir / "centroids.npz", allow_pickle=False)
    relevance = sp.csr_matrix(
        (golden["train_data"], golden["train_indices"], golden["train_indptr"]), golden["train_shape"]
    )
    for block in (7, 65536):
        found = label_centroids(golden["embeddings"], relevance, block=block)
        np.testing.assert_allclose(found, golden["centroids"], atol=1e-6)
    assert not found[90:93].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_centroids_equal_their_oracle(seed: int) -> None:
    """Centroids of random matrices equal the slow ones."""
    relevance = sp.random(30, 20, density=0.2, format="csr", random_state=seed % 1000, dtype=np.float32)
    embeddings = np.random.default_rng(seed).standard_normal((30, 5)).astype(np.float32)
    np.testing.assert_allclose(
        label_centroids(embeddings, relevance, block=6), oracle.label_centroids(embeddings, relevance), atol=1e-5
    )
