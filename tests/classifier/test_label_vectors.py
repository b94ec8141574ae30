"""Label vectors fitted to frozen embeddings: one step against a slow loop, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from vixml.classifier.label_vectors import fit_label_vectors
from vixml.params.model import LabelVectorParams


def unit(array: np.ndarray) -> np.ndarray:
    return (array / np.linalg.norm(array, axis=-1, keepdims=True)).astype(np.float32)


def problem(seed: int, num: int = 40, labels: int = 12, width: int = 8) -> tuple[np.ndarray, sp.csr_matrix, np.ndarray]:
    """Return queries, their labels (one query has none, and the last label no query), and prototypes."""
    generator = np.random.default_rng(seed)
    relevance = generator.random((num, labels)) < 0.2
    relevance[3] = False
    relevance[:, -1] = False
    centres = unit(generator.normal(size=(labels, width)))
    queries = unit(relevance @ centres + 0.3 * generator.normal(size=(num, width)))
    return queries, sp.csr_matrix(relevance.astype(np.float32)), unit(generator.normal(size=(labels, width)))


def slow_loss(queries: np.ndarray, relevance: sp.csr_matrix, vectors: torch.Tensor, temperature: float) -> torch.Tensor:
    """The decoupled softmax, pair by pair, over all labels that have a query."""
    known = np.flatnonzero(relevance.getnnz(axis=0))
    rows = [row for row in range(relevance.shape[0]) if relevance[row].nnz]
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        own = set(relevance[row].indices.tolist())
        query = torch.from_numpy(queries[row].astype(np.float64))
        score = {int(label): torch.dot(query, vectors[label] / vectors[label].norm()) / temperature for label in known}
        negatives = [torch.exp(score[label]) for label in score if label not in own]
        terms = [-torch.log(torch.exp(score[label]) / (torch.exp(score[label]) + sum(negatives))) for label in own]
        total = total + sum(terms) / len(terms)
    return total / len(rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_step_over_all_pairs_is_that_of_a_slow_loop(seed: int) -> None:
    queries, relevance, start = problem(seed)
    params = LabelVectorParams(epochs=1, batch_size=100, negatives=100, lr=0.02, temperature=0.2)
    found = fit_label_vectors(queries, relevance, start, params, seed=0)
    vectors = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    slow_loss(queries, relevance, vectors, 0.2).backward()
    optimiser = torch.optim.AdamW([vectors], lr=0.02, weight_decay=0.0, eps=1e-4)
    optimiser.step()
    np.testing.assert_allclose(found, unit(vectors.detach().numpy()), atol=1e-5)


def test_a_label_without_a_query_stays_where_it_is_and_the_same_seed_gives_the_same() -> None:
    queries, relevance, start = problem(4)
    params = LabelVectorParams(batch_size=8, negatives=3)
    one, two, other = (fit_label_vectors(queries, relevance, start, params, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-4
    np.testing.assert_allclose(one[-1], start[-1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_labels_that_start_at_one_point_part() -> None:
    """All start at nearly one point; the queries say where each belongs."""
    generator = np.random.default_rng(0)
    queries = unit(generator.normal(size=(300, 16)))
    scores = queries @ unit(generator.normal(size=(5, 16))).T
    relevance = sp.csr_matrix((scores == scores.max(axis=1, keepdims=True)).astype(np.float32))
    start = unit(np.ones((5, 16)) + 0.01 * generator.normal(size=(5, 16)))
    fitted = fit_label_vectors(queries[:200], relevance[:200], start, LabelVectorParams(batch_size=32), seed=0)
    truth = relevance[200:].toarray().argmax(axis=1)
    assert ((queries[200:] @ start.T).argmax(axis=1) == truth).mean() < 0.5
    assert ((queries[200:] @ fitted.T).argmax(axis=1) == truth).mean() > 0.8


def test_no_labelled_query_changes_nothing() -> None:
    queries, _, start = problem(1)
    found = fit_label_vectors(queries, sp.csr_matrix((40, 12), dtype=np.float32), start, LabelVectorParams(), seed=0)
    np.testing.assert_allclose(found, start, atol=1e-6)


def test_rounding_of_the_embeddings_stays_rounding() -> None:
    """So that another number of processes, which sums otherwise, gives the same vectors."""
    queries, relevance, start = problem(2, num=200, labels=60, width=16)
    params = LabelVectorParams(batch_size=32, negatives=20)
    noise = 1e-7 * np.random.default_rng(0).normal(size=queries.shape).astype(np.float32)
    one, other = (fit_label_vectors(given, relevance, start, params, seed=0) for given in (queries, queries + noise))
    assert np.abs(one - start).max() > 0.1
    np.testing.assert_allclose(one, other, atol=1e-5)
