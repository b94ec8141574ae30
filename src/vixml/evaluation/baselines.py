"""Baselines: label frequency, a linear tree on words, and nearest training queries by text, by image, and by both.

A nearest-neighbour baseline lets the most similar training queries vote for their labels, each with the weight
similarity ** power. Text is compared by TF-IDF over words and word parts; images by the item's mean frozen vector after
whitening, without which a few strong directions of the vision model drown all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.progress import progress
from vixml.data.ragged import RaggedArray
from vixml.evaluation.linear_tree import linear_tree_labels
from vixml.metrics.propensity import label_frequencies, label_weights
from vixml.metrics.ranking import ranking_metrics
from vixml.params.evaluation import BaselineParams, EvaluationParams
from vixml.retrieval.exact import top_k
from vixml.retrieval.index import remove_pairs

if TYPE_CHECKING:
    import pandas as pd

    from vixml.images.bank import ImageBank

_WHITENED_DIMS = 512
_WHITENING_SAMPLE = 50_000
_WHITENING_FLOOR = 1e-3  # of the largest variance
_ROWS_PER_BLOCK = 16_384
_GROUP = 256  # scores of which only the largest is looked at first

Neighbours = tuple[NDArray[np.float32], NDArray[np.int64]]


def baseline_metrics(
    items_train: pd.DataFrame,
    items_test: pd.DataFrame,
    *,
    relevance_train: sp.csr_matrix,
    relevance_test: sp.csr_matrix,
    filter_test: sp.csr_matrix,
    params: BaselineParams,
    evaluation: EvaluationParams,
    bank: ImageBank | None = None,
    validation: Validation | None = None,
) -> dict[str, dict[str, float]]:
    """Measure all baselines as the variants are measured, with settings tuned as theirs are.

    Args:
        items_train: Training queries with a column `text`, N rows.
        items_test: Test queries, n rows.
        relevance_train: Ground truth of the training queries, CSR [N, L].
        relevance_test: Ground truth of the test queries, CSR [n, L].
        filter_test: Pairs removed from the predictions, CSR [n, L].
        params: Neighbours and weights.
        evaluation: Metric depths and propensity model.
        bank: Image bank with the sides `train` and `test`; without it, or when it is empty, only text is compared.
        validation: Validation queries that settings are tuned on, and that then count as training queries, as they do
            for the variants; without any, training queries stand in, each without itself among its neighbours.

    Returns:
        Baseline -> metrics as fractions. "image kNN" and "text + image kNN" need a bank, "linear tree" needs
        `params.linear_tree`. Where `params.max_queries` is below n, the metrics are of so many queries, spread evenly
        over all, and `queries` among them says how many.
    """
    chosen, sampled = np.arange(len(items_test)), {}
    if params.max_queries is not None and params.max_queries < len(items_test):
        chosen = np.arange(params.max_queries) * len(items_test) // params.max_queries
        sampled = {"queries": float(len(chosen))}
        items_test, relevance_test, filter_test = items_test.iloc[chosen], relevance_test[chosen], filter_test[chosen]
    weights = label_weights(relevance_train, evaluation)

    def measure(top_labels: NDArray[np.int64]) -> dict[str, float]:
        return {**ranking_metrics(top_labels, relevance_test, weights, evaluation.ks), **sampled}

    depth = evaluation.top_k
    texts, asked = items_train["text"].tolist(), items_test["text"].tolist()
    tuner = _Tuner(relevance_train, weights, params, validation)
    known, relevance, sides = _known(texts, relevance_train, validation)
    text = _Source(*text_neighbours(known, asked, tuner.deep), *tuner.text(texts))
    results = {
        "label frequency": measure(most_frequent(label_frequencies(relevance), filter_test, depth)),
        "text kNN": measure(_rank([text], [1.0], relevance, filter_test, depth, params)),
    }
    if params.linear_tree:
        top = linear_tree_labels(known, asked, relevance=relevance, exclude=filter_test, depth=depth)
        results["linear tree"] = measure(top)
    if bank is not None and len(bank.images_of("train").values):
        image = _Source(*image_neighbours(bank, tuner.deep, chosen, known=sides), *tuner.image(bank))
        share = tuner.share()
        results["image kNN"] = measure(_rank([image], [1.0], relevance, filter_test, depth, params))
        both = _rank([text, image], [1.0 - share, share], relevance, filter_test, depth, params)
        results["text + image kNN"] = measure(both)
    return results


@dataclass(frozen=True)
class Validation:
    """Queries that settings are tuned on.

    Args:
        texts: n texts.
        relevance: Their labels, CSR [n, L].
        exclude: Pairs left out of the predictions, CSR [n, L].
    """

    texts: Sequence[str]
    relevance: sp.csr_matrix
    exclude: sp.csr_matrix


def _known(
    texts: list[str], relevance: sp.csr_matrix, validation: Validation | None
) -> tuple[list[str], sp.csr_matrix, list[str]]:
    """Return texts, labels and sides of the queries that count as known once settings are tuned."""
    if validation is None or not len(validation.texts):
        return texts, relevance, ["train"]
    both = sp.csr_matrix(sp.vstack([relevance, validation.relevance]))
    return [*texts, *validation.texts], both, ["train", "validation"]


@dataclass(frozen=True)
class _Source:
    """Neighbours of queries, and how they vote.

    Args:
        similarity: float32 [n, k], best first.
        rows: Training queries int64 [n, k].
        neighbours: How many of them vote.
        power: A vote weighs similarity ** power.
    """

    similarity: NDArray[np.float32]
    rows: NDArray[np.int64]
    neighbours: int
    power: float


class _Tuner:
    """Chooses how neighbours vote, by text, by image, and by both, on validation queries."""

    def __init__(
        self,
        relevance: sp.csr_matrix,
        weights: NDArray[np.float64],
        params: BaselineParams,
        validation: Validation | None,
    ) -> None:
        self._relevance, self._weights, self._params = relevance, weights, params
        self._validation = validation if validation is not None and len(validation.texts) else None
        count = relevance.shape[0] if self._validation is None else len(self._validation.texts)
        self._rows = np.linspace(0, count - 1, min(count, params.tuning_queries)).astype(np.int64)
        self._best: list[_Source] = []
        own = relevance if self._validation is None else self._validation.relevance
        self._truth = sp.csr_matrix(own[self._rows])
        none = sp.csr_matrix(self._truth.shape)
        self._exclude = none if self._validation is None else sp.csr_matrix(self._validation.exclude[self._rows])

    @property
    def deep(self) -> BaselineParams:
        """The settings with as many neighbours as any trial asks for."""
        most = max([self._params.neighbours, *(self._params.neighbour_grid if self._params.tune else ())])
        return self._params.model_copy(update={"neighbours": most})

    def text(self, train: Sequence[str]) -> tuple[int, float]:
        """Return the number of neighbours by text, and the power."""
        asked = train if self._validation is None else self._validation.texts
        return self._choose(lambda deep: text_neighbours(train, [asked[row] for row in self._rows], deep))

    def image(self, bank: ImageBank) -> tuple[int, float]:
        """Return the number of neighbours by image, and the power."""
        side = "train" if self._validation is None else "validation"
        return self._choose(lambda deep: image_neighbours(bank, deep, self._rows, side))

    def share(self) -> float:
        """Return the weight of the image votes beside those of text, with both as chosen."""
        if len(self._best) < 2:
            return self._params.image_weight
        return max(self._params.weight_grid, key=lambda share: self._measure(self._best, [1 - share, share]))

    def _choose(self, search: Callable[[BaselineParams], Neighbours]) -> tuple[int, float]:
        params = self._params
        if not params.tune or not len(self._rows):
            return params.neighbours, params.power
        if self._validation is None:  # one more, since each query finds itself
            more = self.deep.model_copy(update={"neighbours": self.deep.neighbours + 1})
            similarity, rows = search(more)
            itself = rows == self._rows[:, None]
            order = np.argsort(itself, axis=1, kind="stable")[:, : max(1, rows.shape[1] - 1)]
            similarity = np.take_along_axis(np.where(itself, 0, similarity), order, axis=1)
            rows = np.take_along_axis(rows, order, axis=1)
        else:
            similarity, rows = search(self.deep)
        trials = [_Source(similarity, rows, *pair) for pair in product(params.neighbour_grid, params.power_grid)]
        best = max(trials, key=lambda source: self._measure([source], [1.0]))
        self._best.append(best)
        return best.neighbours, best.power

    def _measure(self, sources: Sequence[_Source], shares: Sequence[float]) -> float:
        top = _rank(sources, shares, self._relevance, self._exclude, 10, self._params)
        metrics = ranking_metrics(top, self._truth, self._weights, (1, 5, 10))
        # logarithms: what counts is by how many per cent a metric changes, whatever its size
        return float(np.mean([np.log(max(metrics[name], 1e-9)) for name in ("P@1", "P@5", "PSP@5", "R@10")]))


def most_frequent(frequencies: NDArray[np.integer], exclude: sp.csr_matrix, depth: int) -> NDArray[np.int64]:
    """Return the most frequent labels for every query, without its excluded pairs, int64 [n, depth]."""
    extra = int(np.diff(exclude.indptr).max(initial=0))
    order = np.argsort(-np.asarray(frequencies), kind="stable")[: depth + extra]
    num_queries = exclude.shape[0]
    top = np.full((num_queries, depth), -1, dtype=np.int64)
    for begin in range(0, num_queries, _ROWS_PER_BLOCK):
        rows = exclude[begin : begin + _ROWS_PER_BLOCK]
        labels = np.tile(order, (rows.shape[0], 1))
        kept = remove_pairs(np.zeros(labels.shape, dtype=np.float32), labels, rows, depth)[1]
        top[begin : begin + len(kept), : kept.shape[1]] = kept
    return top


def text_neighbours(train: Sequence[str], test: Sequence[str], params: BaselineParams) -> Neighbours:
    """Return similarity and row of the most similar training texts, best first: float32 and int64 [n, k]."""
    train_terms, test_terms = _tfidf(train, test)
    k = min(params.neighbours, len(train))
    holders = train_terms.T.tocsr()  # of each term the texts that hold it
    similarity = np.zeros((len(test), k), dtype=np.float32)
    rows = np.zeros((len(test), k), dtype=np.int64)
    for query in progress(range(len(test)), desc="text neighbours", unit="text"):
        terms = slice(test_terms.indptr[query], test_terms.indptr[query + 1])
        # Parts of words make most scores positive: a dense row of sums is faster than a sparse product.
        scores = holders[test_terms.indices[terms]].T @ test_terms.data[terms]
        best = _largest(scores, k)
        found = scores[best]
        order = np.argsort(-found, kind="stable")
        similarity[query], rows[query] = found[order], best[order]
    return similarity, rows


def _largest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the k largest of the scores [N], ascending; which of equal last ones is numpy's choice.

    The k-th largest of the groups' maxima is no larger than the k-th largest score, and hardly any other reaches it.
    """
    maxima = np.maximum.reduceat(scores, np.arange(0, len(scores), _GROUP))
    if len(maxima) > k:
        reach = np.flatnonzero(scores >= np.partition(maxima, -k)[-k])
        last = np.partition(scores[reach], -k)[-k]
        best = reach[scores[reach] >= last]
        if len(best) == k:
            return best
    return np.sort(np.argpartition(-scores, k - 1)[:k])


def image_neighbours(
    bank: ImageBank,
    params: BaselineParams,
    queries: NDArray[np.int64],
    side: str = "test",
    *,
    known: Sequence[str] = ("train",),
) -> Neighbours:
    """Return similarity and row of the training queries that look most similar; similarity 0 where no image is.

    Args:
        bank: Image bank with the sides of `known`, and `side`.
        params: Neighbours and block size.
        queries: Rows of the queries, int64 [n].
        side: Their side.
        known: Sides whose items are neighbours, one after the other.

    Returns:
        float32 and int64 [n, k], best first.
    """
    train, test = RaggedArray.join([bank.images_of(one) for one in known]), bank.images_of(side).take(queries)
    whiten = _whitening(bank.vectors, np.unique(train.values))
    train_vectors, test_vectors = (_item_vectors(bank.vectors, images, whiten) for images in (train, test))
    k = min(params.neighbours, len(train))
    similarity, rows = np.zeros((len(test), k), dtype=np.float32), np.zeros((len(test), k), dtype=np.int64)
    shown = test.lengths > 0
    similarity[shown], rows[shown] = top_k(test_vectors[shown], train_vectors, k, query_block=params.query_block)
    return similarity, rows


def _tfidf(train: Sequence[str], test: Sequence[str]) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Return unit TF-IDF rows of both sides, over words and parts of words; fitted on the training texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    words = TfidfVectorizer(dtype=np.float32)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32)
    sides: tuple[list[Any], list[Any]] = ([sp.csr_matrix((len(train), 1))], [sp.csr_matrix((len(test), 1))])
    for vectorizer in (words, parts):
        try:
            terms = vectorizer.fit_transform(train)
        except ValueError:  # scikit-learn's way to say that the texts hold no term at all
            continue
        sides[0].append(terms)
        sides[1].append(vectorizer.transform(test))
    train_terms, test_terms = (normalize(sp.hstack(side, format="csr", dtype=np.float32)) for side in sides)
    return train_terms, test_terms


def _whitening(
    vectors: NDArray[np.float16], rows: NDArray[np.int64]
) -> Callable[[NDArray[np.float16]], NDArray[np.float32]]:
    """Fit PCA whitening on bank rows and return it as a function [n, D] -> unit rows [n, d]."""
    sample = rows[:: max(1, -(-len(rows) // _WHITENING_SAMPLE))]
    data = _unit(vectors[sample].astype(np.float32))
    mean = data.mean(axis=0) if len(data) else np.zeros(vectors.shape[1], dtype=np.float32)
    values, axes = np.linalg.eigh(np.cov((data - mean).T.astype(np.float64), bias=True).reshape(2 * [len(mean)]))
    # Directions in which the sample hardly varies are left small: they would only amplify noise.
    scale = np.sqrt(values + _WHITENING_FLOOR * max(values[-1], 1e-12))
    projection = (axes / scale)[:, -_WHITENED_DIMS:].astype(np.float32)
    return lambda block: _unit((_unit(block.astype(np.float32)) - mean) @ projection)


def _item_vectors(
    vectors: NDArray[np.float16], images: RaggedArray, whiten: Callable[[NDArray[np.float16]], NDArray[np.float32]]
) -> NDArray[np.float16]:
    """Return the unit mean of each item's whitened image vectors, float16 [items, d]; zero without images."""
    means = np.zeros((len(images), whiten(vectors[:1]).shape[1]), dtype=np.float16)
    for begin in range(0, len(images), _ROWS_PER_BLOCK):
        block = images.take(np.arange(begin, min(begin + _ROWS_PER_BLOCK, len(images))))
        shown = np.flatnonzero(block.lengths)
        if len(shown):
            sums = np.add.reduceat(whiten(vectors[block.values]), block.offsets[shown], axis=0)
            means[begin + shown] = _unit(sums)
    return means


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _rank(
    sources: Sequence[_Source],
    shares: Sequence[float],
    relevance: sp.csr_matrix,
    exclude: sp.csr_matrix,
    depth: int,
    params: BaselineParams,
) -> NDArray[np.int64]:
    """Let the neighbours vote and return the best labels of every query, int64 [n, depth], -1 where no vote is left.

    With several sources, the votes of each are first scaled to sum to 1 for every query.
    """
    num_queries = exclude.shape[0]
    top = np.full((num_queries, depth), -1, dtype=np.int64)
    for begin in range(0, num_queries, params.query_block):
        rows = slice(begin, begin + params.query_block)
        votes = sp.csr_matrix(exclude[rows].shape, dtype=np.float64)
        for source, share in zip(sources, shares, strict=True):
            near = slice(None, source.neighbours)
            similarity, who = source.similarity[rows, near], source.rows[rows, near]
            votes = votes + share * _votes(similarity, who, relevance, source.power)
        votes = sp.csr_matrix(votes - votes.multiply(exclude[rows].astype(bool)))
        row, rank, label = _best(votes, depth)
        top[begin + row, rank] = label
    return top


def _votes(
    similarity: NDArray[np.float32], rows: NDArray[np.int64], relevance: sp.csr_matrix, power: float
) -> sp.csr_matrix:
    """Return each query's votes for labels, scaled to sum to 1, CSR [n, L]."""
    weight = np.maximum(similarity, 0.0).astype(np.float64) ** power
    offsets = np.arange(len(rows) + 1) * rows.shape[1]
    votes = sp.csr_matrix((weight.ravel(), rows.ravel(), offsets), shape=(len(rows), relevance.shape[0])) @ relevance
    total = np.asarray(votes.sum(axis=1)).ravel()
    return sp.diags_array(1.0 / np.where(total > 0, total, 1.0)) @ votes


def _best(votes: sp.csr_matrix, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (rows, ranks, labels) of the best `depth` positive votes of each row; equal votes by label id."""
    votes.eliminate_zeros()
    row = np.repeat(np.arange(votes.shape[0]), np.diff(votes.indptr))
    order = np.lexsort((votes.indices, -votes.data, row))
    rank = np.arange(len(row)) - np.repeat(votes.indptr[:-1], np.diff(votes.indptr))
    kept = (rank < depth) & (votes.data[order] > 0)
    return row[kept], rank[kept], votes.indices[order][kept].astype(np.int64)
