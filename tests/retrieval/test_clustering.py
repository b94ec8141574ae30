"""Balanced clusters: a partition, equal sizes, groups that are found, the same on threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import clustering as clustering_oracle
from torch.nn.functional import normalize

from vixml.retrieval import clustering
from vixml.retrieval.clustering import balanced_clusters


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
