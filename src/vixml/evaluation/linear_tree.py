"""The linear model that a user would train instead: a label tree with linear classifiers on words.

Source: Prabhu et al., Parabel, WWW 2018; Yu et al., PECOS (XR-Linear), JMLR 2022; Etter et al., omikuji.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.classifier.train_tree import train_tree
from vixml.params.classifier import TreeParams
from vixml.ranking.lexical import LexicalFeatures
from vixml.retrieval.index import remove_pairs

_ROWS = 16_384


def linear_tree_labels(
    train: Sequence[str], test: Sequence[str], *, relevance: sp.csr_matrix, exclude: sp.csr_matrix, depth: int
) -> NDArray[np.int64]:
    """Return each test text's best labels int64 [n, depth], padded with -1; all -1 where the texts hold no word.

    Args:
        train: N training texts.
        test: n test texts.
        relevance: Labels of the training texts, CSR [N, L].
        exclude: Pairs left out of the predictions, CSR [n, L].
        depth: Labels wanted.
    """
    top = np.full((len(test), depth), -1, dtype=np.int64)
    words = LexicalFeatures.fit(train, kinds=("words",))
    if not words.terms:
        return top
    tree = train_tree(words.apply(train)["words"], relevance, TreeParams())
    for begin in range(0, len(test), _ROWS):
        rows = slice(begin, begin + _ROWS)
        pairs = exclude[rows]
        extra = int(np.diff(pairs.indptr).max(initial=0))
        scores, labels = tree.search(words.apply(test[rows])["words"], depth + extra)
        top[rows] = remove_pairs(scores, labels, pairs, depth)[1]
    return top
