"""Label centroids against golden values and their slow definition."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.distributed.threads import in_threads
from tests.oracles import centroids as oracle

from vixml.negatives import centroids
from vixml.negatives.centroids import centroid_blocks, label_centroids, update_centroids


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


def test_ranks_average_a_share_of_the_labels_each(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    queries = torch.from_numpy(rng.normal(size=(12, 5)).astype(np.float32))
    relevance = sp.csr_matrix(sp.random(12, 7, density=0.4, format="csr", random_state=2, dtype=np.float32))

    def centroids() -> np.ndarray:
        model = SimpleNamespace(label_side=SimpleNamespace(centroids=torch.full((7, 5), 9.0)))
        update_centroids(model, queries, relevance)
        return model.label_side.centroids.numpy()

    expected = label_centroids(queries.numpy(), relevance)
    np.testing.assert_array_equal(centroids(), expected)
    for found in in_threads(monkeypatch, 3, centroids):
        np.testing.assert_array_equal(found, expected)


def test_a_large_bank_in_half_precision_is_never_widened_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same centroids, from a memory map; labels of few queries, of none, and of more than are widened at once."""
    rng = np.random.default_rng(5)
    bank = rng.standard_normal((20_000, 64)).astype(np.float16)
    np.save(tmp_path / "bank.npy", bank)
    pairs = sp.lil_matrix(sp.random(20_000, 900, density=0.002, format="lil", random_state=3, dtype=np.float32))
    pairs[:, 7], pairs[:, 8] = 1.0, 0.0
    relevance = sp.csr_matrix(pairs)
    relevance.eliminate_zeros()
    expected = label_centroids(bank.astype(np.float32), relevance)
    monkeypatch.setattr(centroids, "_WIDENED", 1 << 16)
    tracemalloc.start()
    blocks = centroid_blocks(np.load(tmp_path / "bank.npy", mmap_mode="r"), relevance, block=200)
    found = {part.start: block.copy() for part, block in blocks}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(np.concatenate(list(found.values())), expected, atol=1e-5)
    assert list(found) == [0, 200, 400, 600, 800]
    assert not expected[8].any()
    assert peak < bank.size * 4 / 2
