"""Similarity of items that are described in several feature spaces, dense and sparse ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import ConfigError, DataError

Blocks = Mapping[str, Any]
"""Feature space -> unit rows [n, d], a dense array or CSR; a row of zeros where an item has nothing (no image)."""
Found = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Items:
    """Items as one unit vector each, of which one part is stored densely and one sparsely.

    The inner product of two items is the weighted mean of their cosine similarities in all spaces, for an item that
    lacks a space over those that it has.

    Args:
        dense: float32 [n, d]; d may be 0.
        sparse: float32 CSR [n, terms]; may have no column.
    """

    dense: NDArray[np.float32]
    sparse: sp.csr_matrix

    @classmethod
    def join(cls, blocks: Blocks, weights: Mapping[str, float]) -> Items:
        """Join feature spaces.

        Args:
            blocks: Feature spaces.
            weights: Weight of each, at least 0; one without a weight, or with 0, is left out.

        Raises:
            ConfigError: No space has a weight.
            DataError: The spaces disagree about the number of items.
        """
        used = {name: block for name, block in blocks.items() if weights.get(name, 0) > 0}
        if not used:
            raise ConfigError("no feature space has a weight above 0", found=dict(weights), expected=", ".join(blocks))
        counts = {name: block.shape[0] for name, block in used.items()}
        if len(set(counts.values())) > 1:
            raise DataError("feature spaces disagree about the number of items", found=counts)
        squares = np.zeros(next(iter(counts.values())), dtype=np.float32)
        dense, sparse = [], []
        for name, block in used.items():
            scale = np.float32(weights[name])
            if sp.issparse(block):
                sparse.append(block * np.sqrt(scale))
            else:
                dense.append(np.asarray(block, dtype=np.float32) * np.sqrt(scale))
            squares += scale * squared_lengths(block)
        norm = (1 / np.sqrt(np.maximum(squares, 1e-12))).astype(np.float32)
        num = len(norm)
        joined = np.concatenate(dense, axis=1) if dense else np.zeros((num, 0), dtype=np.float32)
        terms = sp.hstack(sparse, format="csr") if sparse else sp.csr_matrix((num, 0))
        return cls(joined * norm[:, None], sp.csr_matrix(sp.diags_array(norm) @ terms, dtype=np.float32))

    @cached_property
    def holders(self) -> sp.csr_matrix:
        """For each term the items that hold it, CSR [terms, n]."""
        return sp.csr_matrix(self.sparse.T.tocsr())

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, rows: Any) -> Items:
        return Items(self.dense[rows], self.sparse[rows])


def most_similar(queries: Items, keys: Items, k: int, *, block: int = 256) -> Found:
    """Return the `k` most similar keys of each query, best first; equal ones by rising row.

    Args:
        queries: n queries.
        keys: N keys.
        k: Keys wanted; at most N come back.
        block: Queries compared at once; memory is 8 * block * N bytes.

    Returns:
        Similarities float32 and rows int64 [n, min(k, N)].
    """
    k = min(k, len(keys))
    similarity = np.empty((len(queries), k), dtype=np.float32)
    rows = np.empty((len(queries), k), dtype=np.int64)
    for begin in range(0, len(queries), block):
        part = queries[begin : begin + block]
        scores = part.dense @ keys.dense.T
        if part.sparse.nnz:
            scores += (part.sparse @ keys.holders).toarray()
        best = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        similarity[begin : begin + block] = np.take_along_axis(values, order, axis=1)
        rows[begin : begin + block] = np.take_along_axis(best, order, axis=1)
    return similarity, rows


def similarities_within(keys: Items, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the similarities of each list of keys with itself, float32 [n, k, k].

    Args:
        keys: N keys.
        rows: Rows of keys, int64 [n, k].
    """
    gathered = keys.dense[rows]
    within = gathered @ gathered.transpose(0, 2, 1)
    if keys.sparse.nnz:
        for query, few in enumerate(rows):
            terms = keys.sparse[few]
            within[query] += (terms @ terms.T).toarray()
    return within


def squared_lengths(block: Any) -> NDArray[np.float32]:
    """Return the squared length of each row of a dense array or CSR, float32 [n]."""
    sparse = sp.issparse(block)
    squares = block.multiply(block).sum(axis=1) if sparse else np.square(block, dtype=np.float32).sum(axis=1)
    return np.asarray(squares, dtype=np.float32).ravel()
