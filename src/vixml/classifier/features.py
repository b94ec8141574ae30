"""Dense features of a query for its classifiers: dense spaces as they are, sparse ones hashed to a fixed width.

A term goes to one column with a random sign, so inner products keep their expectation (a count sketch): the width does
not depend on the vocabulary, and label weights are plain vectors that any index searches by inner product.

Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.params.classifier import ClassifierParams


def classifier_features(blocks: Mapping[str, Any], params: ClassifierParams) -> NDArray[np.float32]:
    """Return features float32 [n, D]: the dense spaces side by side, then the hashed sparse ones, then a constant 1.

    Args:
        blocks: Feature space -> unit rows [n, d], a dense array or CSR. Spaces are taken by rising name.
        params: Width of the hashed part.

    Raises:
        DataError: There is no space, or they disagree about the number of items.
    """
    counts = {name: block.shape[0] for name, block in blocks.items()}
    if len(set(counts.values())) != 1:
        raise DataError("feature spaces disagree about the number of items", found=counts or "no space at all")
    num = next(iter(counts.values()))
    dense = [np.asarray(blocks[name], dtype=np.float32) for name in sorted(blocks) if not sp.issparse(blocks[name])]
    sparse = [name for name in sorted(blocks) if sp.issparse(blocks[name])]
    if sparse and params.sketch_dim:
        hashed = sum(
            (_sketch(blocks[name], name, params.sketch_dim) for name in sparse),
            start=sp.csr_matrix((num, params.sketch_dim)),
        )
        dense.append(np.asarray(hashed.todense(), dtype=np.float32))
    return np.concatenate([*dense, np.ones((num, 1), dtype=np.float32)], axis=1)


def _sketch(block: sp.csr_matrix, name: str, width: int) -> sp.csr_matrix:
    """Hash the columns of a space; which column and sign a term gets depends on the space's name and its place."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    terms = block.shape[1]
    columns, signs = generator.integers(0, width, terms), generator.choice(np.array([-1, 1], dtype=np.float32), terms)
    return sp.csr_matrix(block @ sp.csr_matrix((signs, (np.arange(terms), columns)), shape=(terms, width)))
