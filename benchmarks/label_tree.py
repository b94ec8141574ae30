"""The label tree at lf-debian's shape, against support vector machines that have every query as an example."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from tests.oracles import classifier as oracle

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, race, read_rate


def run(*, quick: bool) -> list[Row]:
    """33,000 queries of 90 terms x 26,000 labels; the oracle trains a few labels."""
    import sklearn.svm  # noqa: F401  # before the clock runs

    from vixml.classifier.train_tree import train_tree
    from vixml.params.classifier import TreeParams

    warnings.simplefilter("ignore")  # the oracle's solver says that it stops after as many passes as the tree's
    points, labels, terms, width, part = (1_000, 600, 20, 2_000, 10) if quick else (33_000, 26_000, 90, 262_144, 10)
    rng = np.random.default_rng(0)
    relevance = random_relevance(points, labels, 4.5, rng)
    # words by Zipf's law: what a common word costs is what a node's training costs
    columns = np.minimum(rng.zipf(1.3, size=(points, terms)), width) - 1
    features = sp.csr_matrix(
        (np.ones(points * terms, dtype=np.float32), columns.ravel(), np.arange(points + 1) * terms),
        shape=(points, width),
    )
    features.sum_duplicates()
    features = sp.csr_matrix(sp.diags_array(1 / np.sqrt(features.multiply(features).sum(axis=1).A1)) @ features)
    features = features.astype(np.float32)
    params = TreeParams()
    some = np.flatnonzero(np.diff(relevance.tocsc().indptr))[:part]
    seconds, oracle_seconds, peak, _, _ = race(
        lambda: train_tree(features, relevance, params),
        lambda: oracle.train_without_a_tree(features, relevance[:, some], params.cost, params.passes),
        repeats=1,
    )
    oracle_seconds *= labels / part
    levels = 4  # of which each reads every query at least once
    copies = levels * (features.data.nbytes + features.indices.nbytes) / read_rate()
    met = oracle_seconds / seconds >= 5 and peak < 4 * 2**30
    return [
        Row(
            "label tree", f"{points:,} x {labels:,}, {terms} terms", seconds,
            f"all queries as examples (of {part} labels)", oracle_seconds, peak,
            "reads of the queries, one a level", copies, ">= 5x, < 4 GiB", met,
        )
    ]  # fmt: skip
