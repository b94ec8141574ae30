"""Sparse features of a text: TF-IDF over words and pairs of words, and over parts of words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.directories import write_json
from vixml.core.errors import StateError
from vixml.core.guards.untrusted import open_array, read_document

_KINDS = ("words", "parts")
_PARTS = (3, 4, 5)  # letters of a part
_LEAST = {"words": 1, "parts": 2}  # texts that a term must occur in


@dataclass(frozen=True)
class LexicalFeatures:
    """Turns texts into unit rows, a block for words and one for parts of words.

    A term's weight in a text is (1 + log count) * (1 + log((1 + n) / (1 + texts that have it))), as in scikit-learn.

    Args:
        terms: Kind -> its terms, in the order of the columns; no entry where the training texts hold no term.
        weights: Kind -> inverse document frequencies float32, one for each term.
    """

    terms: dict[str, list[str]]
    weights: dict[str, NDArray[np.float32]]

    @classmethod
    def fit(cls, texts: Sequence[str], *, max_terms: int = 262_144, kinds: Sequence[str] = _KINDS) -> LexicalFeatures:
        """Learn terms and their weights from training texts.

        Args:
            texts: Training texts.
            max_terms: Most terms of each kind, the most frequent ones.
            kinds: `words`, `parts`.
        """
        terms, weights = {}, {}
        for kind in kinds:
            counts, names = _count(kind, texts)
            texts_with = np.bincount(counts.indices, minlength=len(names))
            total = np.asarray(counts.sum(axis=0)).ravel()
            enough = np.flatnonzero(texts_with >= _LEAST[kind])
            kept = enough[np.argsort(-total[enough], kind="stable")[:max_terms]]
            if not len(kept):
                continue
            kept = np.array(sorted(kept.tolist(), key=names.__getitem__))
            terms[kind] = [names[column] for column in kept]
            weights[kind] = (1 + np.log((1 + len(texts)) / (1 + texts_with[kept]))).astype(np.float32)
        return cls(terms, weights)

    def apply(self, texts: Sequence[str]) -> dict[str, sp.csr_matrix]:
        """Return for each kind unit rows float32 [n, terms]; a text without a known term is a row of zeros."""
        blocks = {}
        for kind in self.terms:
            counts = _known(*_count(kind, texts), self._columns[kind])
            counts.data = (1 + np.log(counts.data)) * self.weights[kind][counts.indices]
            lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1))).ravel()
            counts.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(counts.indptr)).astype(np.float32)
            blocks[kind] = counts
        return blocks

    @cached_property
    def _columns(self) -> dict[str, dict[str, int]]:
        return {kind: {term: column for column, term in enumerate(terms)} for kind, terms in self.terms.items()}

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


def _count(kind: str, texts: Sequence[str]) -> tuple[sp.csr_matrix, list[str]]:
    """Return how often each text has each term, CSR float32 [n, terms], and the terms that occur."""
    from sklearn.feature_extraction.text import CountVectorizer

    options = {"ngram_range": (1, 2)} if kind == "words" else {"tokenizer": str.split, "token_pattern": None}
    vectorizer = CountVectorizer(dtype=np.float32, **options)
    try:
        counts = sp.csr_matrix(vectorizer.fit_transform(texts))
    except ValueError:  # scikit-learn's way to say that the texts hold no term at all
        return sp.csr_matrix(np.zeros((len(texts), 0), dtype=np.float32)), []
    names = vectorizer.get_feature_names_out().tolist()
    if kind == "words":
        return counts, names
    parts, names = _parts_of(names)
    return sp.csr_matrix(counts @ parts), names


def _parts_of(words: Sequence[str]) -> tuple[sp.csr_matrix, list[str]]:
    """Return how often each word has each part, CSR [words, parts], and the parts: a word that recurs is cut once."""
    columns: dict[str, int] = {}
    found, ends = [], [0]
    for word in words:
        found += [columns.setdefault(part, len(columns)) for part in _cut(f" {word} ")]
        ends.append(len(found))
    ones = np.ones(len(found), dtype=np.float32)
    return sp.csr_matrix((ones, found, ends), shape=(len(words), len(columns))), list(columns)


def _known(counts: sp.csr_matrix, names: Sequence[str], columns: Mapping[str, int]) -> sp.csr_matrix:
    """Return the counts [n, names] of the terms that have a column, in these columns."""
    place = np.array([columns.get(name, -1) for name in names], dtype=np.int64)
    chosen = sp.csr_matrix(counts[:, place >= 0])
    indices = place[place >= 0][chosen.indices]
    known = sp.csr_matrix((chosen.data, indices, chosen.indptr), shape=(counts.shape[0], len(columns)))
    known.sort_indices()
    return known


def _cut(word: str) -> Iterator[str]:
    """Yield the parts of a word between two blanks; one that is no longer than a part is its own only once."""
    for length in _PARTS:
        yield from (word[begin : begin + length] for begin in range(max(1, len(word) - length + 1)))
        if len(word) <= length:
            return
