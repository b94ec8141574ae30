"""Sparse features of a text: TF-IDF over words and pairs of words, and over parts of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.directories import write_json
from vixml.core.errors import StateError
from vixml.core.guards.untrusted import open_array, read_document

_KINDS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2)},
    "parts": {"analyzer": "char_wb", "ngram_range": (3, 5), "min_df": 2},
}


@dataclass(frozen=True)
class LexicalFeatures:
    """Turns texts into unit rows, a block for words and one for parts of words.

    Args:
        terms: Kind -> its terms, in the order of the columns; no entry where the training texts hold no term.
        weights: Kind -> inverse document frequencies float32, one for each term.
    """

    terms: dict[str, list[str]]
    weights: dict[str, NDArray[np.float32]]

    @classmethod
    def fit(cls, texts: Sequence[str], *, max_terms: int = 262_144) -> LexicalFeatures:
        """Learn terms and their weights from training texts.

        Args:
            texts: Training texts.
            max_terms: Most terms of each kind, the most frequent ones.
        """
        terms, weights = {}, {}
        for kind in _KINDS:
            vectorizer = _vectorizer(kind, max_features=max_terms)
            try:
                vectorizer.fit(texts)
            except ValueError:  # scikit-learn's way to say that the texts hold no term at all
                continue
            terms[kind] = vectorizer.get_feature_names_out().tolist()
            weights[kind] = vectorizer.idf_.astype(np.float32)
        return cls(terms, weights)

    def apply(self, texts: Sequence[str]) -> dict[str, sp.csr_matrix]:
        """Return for each kind unit rows float32 [n, terms]; a text without a known term is a row of zeros."""
        blocks = {}
        for kind, terms in self.terms.items():
            vectorizer = _vectorizer(kind, vocabulary={term: column for column, term in enumerate(terms)})
            vectorizer.idf_ = self.weights[kind]
            blocks[kind] = sp.csr_matrix(vectorizer.transform(texts), dtype=np.float32)
        return blocks

    def save(self, folder: Path) -> None:
        """Write `terms.json` and `weights_{kind}.npy` into `folder`, which exists."""
        write_json(folder / "terms.json", self.terms)
        for kind, weights in self.weights.items():
            np.save(folder / f"weights_{kind}.npy", weights)

    @classmethod
    def open(cls, folder: Path) -> LexicalFeatures:
        """Read what `save` wrote.

        Raises:
            StateError: A file is missing or damaged.
        """
        terms = read_document(folder / "terms.json")
        weights = {}
        for kind, words in terms.items():
            if kind not in _KINDS or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise StateError("terms are malformed", file=folder / "terms.json", found=kind)
            file = folder / f"weights_{kind}.npy"
            weights[kind] = open_array(file, shape=(None,), mmap=False)
            if len(weights[kind]) != len(words):
                raise StateError("terms and their weights disagree", file=file, found=f"{len(weights[kind])} weights")
        return cls(terms, weights)


def _vectorizer(kind: str, **settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **{**_KINDS[kind], **settings})
