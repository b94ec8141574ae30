"""Clusters, batches, sampling, centroids: each against its slow definition."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import batches as batches_oracle
from tests.oracles import centroids as centroids_oracle
from tests.oracles import clustering as clustering_oracle
from torch.nn.functional import normalize

from vixml.negatives import clustering
from vixml.negatives.batches import cluster_batches, random_batches
from vixml.negatives.centroids import label_centroids
from vixml.negatives.clustering import balanced_clusters
from vixml.negatives.curriculum import cluster_size_at, is_clustered, is_reclustered
from vixml.negatives.sampling import PositiveSampler, pool_target
from vixml.params.batching import BatchingParams


def _points(count: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 20))
def test_clusters_are_a_balanced_partition(count: int, size: int) -> None:
    """Every point is in one cluster; sizes differ by at most one and stay within the bound."""
    clusters = balanced_clusters(_points(count), size=size, generator=torch.Generator().manual_seed(0))
    assert sorted(torch.cat(clusters).tolist()) == list(range(count))
    sizes = [len(cluster) for cluster in clusters]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= size


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_the_half_that_leans_most(nodes: int, longest: int, levels: int, seed: int) -> None:
    """Half of each node's members, those with the largest values; of equal ones the first; sizes one apart."""
    generator = torch.Generator().manual_seed(seed)
    sizes = longest - torch.randint(0, min(2, longest), (nodes,), generator=generator)
    real = torch.arange(longest) < sizes[:, None]
    lean = torch.randint(-levels, levels + 1, (nodes, longest), generator=generator).float()
    half = clustering._Half(real, generator)
    side, rough = half.exactly(lean), half.roughly(lean)
    assert bool((rough | ~side).all()), "where no sample is taken, the rough half holds the exact one"
    for row, count, found in zip(lean, sizes.tolist(), side, strict=True):
        order = torch.sort(row[:count], descending=True, stable=True).indices
        assert found.nonzero()[:, 0].tolist() == sorted(order[: (count + 1) // 2].tolist())


def test_clusters_find_groups_and_repeat() -> None:
    """Well separated groups come out whole, and the same seed gives the same clusters."""
    centres = torch.eye(8)[:4]
    points = normalize(centres.repeat_interleave(16, 0) + 0.05 * _points(64), dim=-1)
    first, second = (balanced_clusters(points, size=16, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert {frozenset(c.tolist()) for c in first} == {frozenset(range(s, s + 16)) for s in (0, 16, 32, 48)}
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("count", "size"), [(257, 200), (700, 16), (1300, 16), (2049, 300)])
@pytest.mark.parametrize("cached", [16_384, 300])
@pytest.mark.parametrize("half", [True, False])
def test_large_nodes_split_as_well_as_node_by_node(
    count: int, size: int, cached: int, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes beyond cache and sample: a balanced partition, the same again, and no looser than the slow way."""
    monkeypatch.setattr(clustering, "_CACHED", cached)
    monkeypatch.setattr(clustering, "_SAMPLE", 256)
    monkeypatch.setattr(clustering, "cpu_has_bf16", lambda: half)
    topics = _points(20, 3)
    points = normalize(topics[torch.arange(count) % 20] + 0.5 * _points(count, 4), dim=-1)
    first, second = (balanced_clusters(points, size=size, generator=torch.Generator().manual_seed(2)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.cat(first).sort().values, torch.arange(count))
    sizes = [len(cluster) for cluster in first]
    assert max(sizes) - min(sizes) <= 1
    slow = clustering_oracle.balanced_clusters(points, size=size, generator=torch.Generator().manual_seed(2))
    assert sorted(map(len, slow)) == sorted(sizes)
    quality, expected = (clustering_oracle.mean_cosine(points, found) for found in (first, slow))
    assert quality > expected - 0.02


def test_a_sample_finds_the_middle() -> None:
    """Of a large node: about half is marked, whatever order its members have; the last split is exact."""
    generator = torch.Generator().manual_seed(0)
    lean = torch.randn(2, 20_000, generator=generator)
    lean[:, ::16] += 5.0  # as points that come in turns
    half = clustering._Half(torch.ones(2, 20_000, dtype=torch.bool), generator)
    assert half.some is not None
    assert (half.roughly(lean).float().mean(dim=1) - 0.5).abs().max() < 0.1  # 4.5 standard deviations of the sample
    assert half.exactly(lean).sum(dim=1).tolist() == [10_000, 10_000]


def test_groups_on_threads_are_what_they_are_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same clusters on any number of threads, each group on a thread of its own, and torch's threads as before."""
    monkeypatch.setattr(clustering, "_CACHED", 300)
    points, before, seen = _points(2500), torch.get_num_threads(), set()
    split = clustering._split_cached

    def watched(*values: Any) -> Any:
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        return split(*values)

    monkeypatch.setattr(clustering, "_split_cached", watched)
    found = []
    try:
        for threads in (1, 3):
            seen.clear()
            torch.set_num_threads(threads)
            found.append(balanced_clusters(points, size=16, generator=torch.Generator().manual_seed(0)))
            assert torch.get_num_threads() == threads
            named = {name.startswith("clusters") for name, _ in seen}
            assert (named, {number for _, number in seen}) == ({threads > 1}, {1})
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before


@pytest.mark.parametrize(("count", "size"), [(100, 32), (7, 10), (64, 32)])
def test_batches_cover_every_point_once(count: int, size: int) -> None:
    """Random and clustered batches are partitions of even size."""
    clusters = [c.numpy() for c in balanced_clusters(_points(count), size=8, generator=torch.Generator())]
    for batches in (
        random_batches(count, size, np.random.default_rng(0)),
        cluster_batches(clusters, size, np.random.default_rng(0)),
    ):
        assert sorted(np.concatenate(batches).tolist()) == list(range(count))
        assert max(map(len, batches)) <= size
        assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_curriculum_is_the_papers() -> None:
    """Encoder recipe: start 10, update 5, size 16 doubling at 20, 40, ..."""
    params = BatchingParams()
    assert [cluster_size_at(epoch, params) for epoch in (0, 19, 20, 40, 149)] == [16, 16, 32, 64, 1024]
    assert [epoch for epoch in range(30) if is_reclustered(epoch, params)] == [15, 20, 25]
    assert [is_clustered(epoch, params) for epoch in (9, 10)] == [False, True]


def _relevance(seed: int = 0) -> sp.csr_matrix:
    matrix = sp.random(40, 25, density=0.15, format="csr", random_state=seed, dtype=np.float32)
    matrix.data[:] = 1
    matrix = sp.csr_matrix(matrix + sp.eye(40, 25, dtype=np.float32, format="csr"))
    matrix.data[:] = 1
    matrix.sort_indices()
    return matrix


def test_positives_follow_the_inverse_propensity() -> None:
    """Labels of a query are drawn in proportion to their weights, and only its own."""
    relevance, weights = _relevance(), np.random.default_rng(0).random(25) + 0.1
    sampler = PositiveSampler(relevance, weights)
    labels = relevance[3].indices
    drawn = sampler.draw(np.full(20_000, 3), np.random.default_rng(1))
    assert set(drawn) <= set(labels)
    expected = weights[labels] / weights[labels].sum()
    np.testing.assert_allclose([(drawn == label).mean() for label in labels], expected, atol=0.02)


def test_draws_stay_in_their_row() -> None:
    """Whatever the row, the drawn label is one of its own."""
    relevance = _relevance(4)
    rows = np.flatnonzero(np.diff(relevance.indptr)).repeat(50)
    drawn = PositiveSampler(relevance, np.ones(25)).draw(rows, np.random.default_rng(0))
    assert relevance[rows, drawn].all()


def test_pool_target_equals_dense_slice() -> None:
    """The target is the dense relevance at (rows, pool)."""
    relevance = _relevance(2)
    rng = np.random.default_rng(0)
    rows, pool = rng.permutation(40)[:10], np.unique(rng.integers(0, 25, 9))
    np.testing.assert_array_equal(pool_target(relevance, rows, pool), relevance.toarray()[rows][:, pool] > 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pool_target_and_centroids_equal_their_oracles(seed: int) -> None:
    """Target and centroids of random matrices, with any pool, equal the slow ones."""
    rng = np.random.default_rng(seed)
    relevance = sp.random(30, 20, density=0.2, format="csr", random_state=seed % 1000, dtype=np.float32)
    rows, pool = rng.integers(0, 30, 8), np.unique(rng.integers(0, 20, 6))
    np.testing.assert_array_equal(pool_target(relevance, rows, pool), batches_oracle.pool_target(relevance, rows, pool))
    embeddings = rng.standard_normal((30, 5)).astype(np.float32)
    np.testing.assert_allclose(
        label_centroids(embeddings, relevance, block=6),
        centroids_oracle.label_centroids(embeddings, relevance),
        atol=1e-5,
    )


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
