"""Audited queries whose probabilities are set by hand."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.audit.unseen import UnseenScores

NUM_QUERIES, NUM_LABELS = 12, 6


def by_hand(seed: int = 0):
    """Return scores of every second query, and labels of all; a dense table of the probabilities stands beside them."""
    rng = np.random.default_rng(seed)
    rows = np.arange(0, NUM_QUERIES, 2)
    dense = rng.random((len(rows), NUM_LABELS)).astype(np.float32)
    labels = np.argsort(-dense, axis=1)[:, :4]
    probabilities = np.take_along_axis(dense, labels, axis=1)
    labels[1, 3], probabilities[1, 3] = -1, np.nan
    listed = np.zeros_like(dense)
    for row, (some, values) in enumerate(zip(labels, probabilities, strict=True)):
        listed[row, some[some >= 0]] = values[some >= 0]
    relevance = sp.csr_matrix((rng.random((NUM_QUERIES, NUM_LABELS)) < 0.5).astype(np.float32))
    return UnseenScores(rows, labels, probabilities), relevance, listed
