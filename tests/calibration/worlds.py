"""Rankings whose scores are known to have a probability."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

NUM_LABELS = 400


def make_ranking(queries: int = 400, depth: int = 30, seed: int = 0):
    """Return scores, labels, relevance, the probabilities that truth was drawn with, and frequencies.

    A label is true with a probability that falls with its rank and with how far the query's best score is ahead: the
    score alone says less, as in a real ranking.
    """
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.1, 2, (queries, 1))
    scores = -np.sort(-level * rng.beta(0.4, 4, (queries, depth)), axis=1).astype(np.float32)
    labels = np.argsort(rng.random((queries, NUM_LABELS)), axis=1)[:, :depth]
    margin = np.log(scores / scores[:, :1])
    probability = 1 / (1 + np.exp(-(0.8 + 0.9 * margin - 0.7 * np.log(np.arange(1, depth + 1)))))
    rows, places = np.nonzero(rng.random(scores.shape) < probability)
    relevance = sp.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, labels[rows, places])), shape=(queries, NUM_LABELS)
    )
    frequencies = np.maximum(1, (300 / np.arange(1, NUM_LABELS + 1)).astype(np.int64))
    return scores, labels, relevance, probability, frequencies
