"""Classifiers at mm-icontags' shape, against one ridge regression of scikit-learn for each label."""

from __future__ import annotations

import numpy as np
from tests.oracles import classifier as oracle

from benchmarks.centroids import random_relevance
from benchmarks.harness import Row, product_rate, race


def run(*, quick: bool) -> list[Row]:
    """10,000 queries x 6,000 labels over 2,945 dense features; the oracle solves a few labels."""
    from vixml.classifier.ridge import train_classifiers
    from vixml.params.classifier import ClassifierParams

    points, labels, width, part = (1_000, 600, 300, 5) if quick else (10_000, 6_000, 2_945, 3)
    rng = np.random.default_rng(0)
    relevance = random_relevance(points, labels, 7.1, rng)
    features = rng.standard_normal((points, width), dtype=np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    params = ClassifierParams()
    seconds, oracle_seconds, peak, weights, expected = race(
        lambda: train_classifiers(features, relevance, params),
        lambda: oracle.train_classifiers(features, relevance[:, :part], params.ridge),
        repeats=1 if not quick else 3,
    )
    assert np.abs(weights[:part] - expected).max() < 1e-4, "differs from the oracle"
    oracle_seconds *= labels / part
    products = 2 * points * width**2 + width**3 / 3 + 2 * labels * width**2
    met = seconds <= 60 and oracle_seconds / seconds >= 50 and peak < 2 * 2**30
    return [
        Row(
            "classifiers", f"{points:,} x {labels:,}, {width:,} features", seconds,
            f"one regression a label (of {part})", oracle_seconds, peak,
            "products", products / product_rate(), ">= 50x, <= 60 s, < 2 GiB", met,
        )
    ]  # fmt: skip
