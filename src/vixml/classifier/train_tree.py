"""Training of a probabilistic label tree: clusters of labels, then a linear classifier for each node.

A node's classifier tells the queries below its parent that are below itself from the others: hard negatives, for
siblings share most of their queries' words. Without them, every query would be an example of every label.

Source: Prabhu et al., Parabel, WWW 2018; Khandagale et al., Bonsai, Machine Learning 2020; Yu et al., PECOS, JMLR 2022.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.classifier.label_tree import LabelTree, Level
from vixml.core.progress import progress
from vixml.params.classifier import TreeParams
from vixml.retrieval.clustering import balanced_clusters

_SKETCH = 512  # width that the sums of the labels' queries are hashed to before they are clustered


def train_tree(features: sp.csr_matrix, relevance: sp.csr_matrix, params: TreeParams, *, seed: int = 0) -> LabelTree:
    """Return the tree of all labels that have a training query.

    Args:
        features: Sparse features of the training queries, unit rows, CSR [N, D].
        relevance: Their labels, CSR [N, L]; every positive entry is a positive, however relevant.
        params: Shape of the tree, and the classifiers.
        seed: Chooses where clusters begin.
    """
    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning

    positive = sp.csc_matrix(relevance > 0, dtype=np.float32)
    labels = np.flatnonzero(np.diff(positive.indptr)).astype(np.int64)
    positive = positive[:, labels]
    nodes = _cluster(features, positive, params, seed)
    levels, inside = [], sp.csc_matrix(np.ones((features.shape[0], 1), dtype=np.float32))
    with config_context(assume_finite=True, skip_parameter_validation=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few passes rank as well as many
        for parents, members in nodes:
            below = sp.csc_matrix(positive @ members > 0, dtype=np.float32)
            levels.append(_train_level(features, below, inside, parents, params))
            inside = below
    return LabelTree(tuple(levels), labels, params.beam)


def _cluster(
    features: sp.csr_matrix, positive: sp.csc_matrix, params: TreeParams, seed: int
) -> Iterator[tuple[NDArray[np.int64], sp.csr_matrix]]:
    """Yield the parents of each level's nodes int64 [m], and which labels are below them, CSR [L, m]; root first."""
    num = positive.shape[1]
    leaves = balanced_clusters(
        torch.from_numpy(_centres(features, positive, seed)),
        size=params.leaf_size,
        generator=torch.Generator().manual_seed(seed),
    )
    leaf = np.empty(num, dtype=np.int64)
    for number, members in enumerate(leaves):
        leaf[members.numpy()] = number
    depth, step = round(math.log2(len(leaves))) if leaves else 0, int(math.log2(params.branching))
    above = np.zeros(num, dtype=np.int64)
    # a leaf's number, read as bits, is its path: what is left of it is a node further up
    for shift in range((depth - 1) // step * step, -1, -step) if depth else ():
        node = leaf >> shift
        yield _parents(node, above), _membership(node)
        above = node
    yield above, sp.identity(num, dtype=np.float32, format="csr")


def _centres(features: sp.csr_matrix, positive: sp.csc_matrix, seed: int) -> NDArray[np.float32]:
    """Return the unit mean of each label's queries, hashed to a fixed width, float32 [L, w]."""
    generator, terms = np.random.default_rng(seed), features.shape[1]
    signs = generator.choice(np.array([-1, 1], dtype=np.float32), terms)
    hashing = sp.csr_matrix((signs, (np.arange(terms), generator.integers(0, _SKETCH, terms))), shape=(terms, _SKETCH))
    sums: NDArray[np.float32] = (positive.T @ (features @ hashing)).toarray()
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _parents(node: NDArray[np.int64], above: NDArray[np.int64]) -> NDArray[np.int64]:
    parents = np.zeros(int(node.max(initial=-1)) + 1, dtype=np.int64)
    parents[node] = above
    return parents


def _membership(node: NDArray[np.int64]) -> sp.csr_matrix:
    shape = (len(node), int(node.max(initial=-1)) + 1)
    return sp.csr_matrix((np.ones(len(node), dtype=np.float32), (np.arange(len(node)), node)), shape=shape)


@dataclass
class _Columns:
    """The classifiers of a level, as they are made."""

    rows: list[NDArray[np.integer]]
    nodes: list[NDArray[np.int64]]
    values: list[NDArray[np.float32]]

    def add(self, node: int, terms: NDArray[np.integer], weights: NDArray[np.float64], least: float) -> None:
        """Keep the weights that are at least `least`."""
        kept = np.flatnonzero(np.abs(weights) >= least)
        self.rows.append(terms[kept])
        self.nodes.append(np.full(len(kept), node, dtype=np.int64))
        self.values.append(weights[kept].astype(np.float32))

    def matrix(self, shape: tuple[int, int]) -> sp.csr_matrix:
        """Return all of them, CSR float32 [D, m]."""
        rows, nodes, values = (np.concatenate([[], *part]) for part in (self.rows, self.nodes, self.values))
        return sp.csr_matrix((values.astype(np.float32), (rows.astype(int), nodes.astype(int))), shape=shape)


def _train_level(
    features: sp.csr_matrix,
    below: sp.csc_matrix,
    inside: sp.csc_matrix,
    parents: NDArray[np.int64],
    params: TreeParams,
) -> Level:
    """Train the classifiers of one level.

    Args:
        features: CSR [N, D].
        below: Which queries are below each node, CSC [N, m].
        inside: Which are below each node of the level above, CSC [N, M].
        parents: int64 [m].
        params: The classifiers.
    """
    columns, bias = _Columns([], [], []), np.zeros(len(parents), dtype=np.float32)
    order = np.argsort(parents, kind="stable")
    families = np.split(order, np.flatnonzero(np.diff(parents[order])) + 1) if len(order) else []
    place = np.full(features.shape[0], -1)
    for children in progress(families, desc=f"label tree, {len(parents):,} nodes", unit="family"):
        column = parents[children[0]]
        queries = np.sort(inside.indices[inside.indptr[column] : inside.indptr[column + 1]])
        terms, examples = _narrow(features[queries])
        place[queries] = np.arange(len(queries))
        for child in children:
            own = place[below.indices[below.indptr[child] : below.indptr[child + 1]]]
            weights, bias[child] = _separate(examples, own, params)
            columns.add(int(child), terms, weights, params.threshold)
    return Level(columns.matrix((features.shape[1], len(parents))), bias, parents)


def _narrow(examples: sp.csr_matrix) -> tuple[NDArray[np.integer], sp.csr_matrix]:
    """Return which columns hold anything, and the matrix of these alone: most words are not in most families."""
    terms, columns = np.unique(examples.indices, return_inverse=True)
    form = (examples.data.astype(np.float64), columns.astype(np.int32), examples.indptr.astype(np.int32))
    return terms, sp.csr_matrix(form, shape=(examples.shape[0], len(terms)))


def _separate(
    examples: sp.csr_matrix, positives: NDArray[np.int64], params: TreeParams
) -> tuple[NDArray[np.float64], float]:
    """Return weights and bias of a support vector machine with squared hinge loss."""
    from sklearn.svm import LinearSVC

    target = np.full(examples.shape[0], -1)
    target[positives] = 1
    if len(positives) == len(target):  # an only child's queries are its parent's: it has the parent's score
        return np.zeros(examples.shape[1]), 1.0
    machine = LinearSVC(C=params.cost, dual=True, max_iter=params.passes, tol=0.1, random_state=0)
    machine.fit(examples, target)
    return machine.coef_[0], float(machine.intercept_[0])
