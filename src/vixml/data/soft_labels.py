"""Soft labels: how likely a teacher finds the labels of training queries."""

from __future__ import annotations

import scipy.sparse as sp

from vixml.core.directories import SealedDirectory
from vixml.core.errors import StateError
from vixml.data.matrix import read_matrix

KIND = "soft-labels"
SOFT_LABELS = "soft_labels.npz"


def read_soft_labels(folder: SealedDirectory, relevance: sp.csr_matrix) -> sp.csr_matrix:
    """Return the soft labels of the training queries, CSR float32 [N, L], entries in (0, 1].

    Args:
        folder: What the teacher made.
        relevance: Training relevance [N, L], which they must fit.

    Raises:
        StateError: They are those of other queries or labels.
    """
    soft = read_matrix(folder.path / SOFT_LABELS)
    if soft.shape != relevance.shape:
        raise StateError(
            "the soft labels belong to other data",
            file=folder.path,
            found=f"{soft.shape[0]:,} queries and {soft.shape[1]:,} labels",
            expected=f"{relevance.shape[0]:,} and {relevance.shape[1]:,}",
            remedy="run `kedro run --pipeline=teaching` again.",
        )
    return soft
