"""All evidence about the labels of a query, and the ranking that it adds up to.

Parts (their names are those of the blend's weights):

- `neighbours`: labels of the nearest training queries by all feature spaces; `neighbours_text`, `neighbours_images` by
  texts and embedding, or images, alone (only where there are images).
- `classifiers`: one linear classifier for each label.
- `label_tree`: a tree of clusters of labels, with a classifier on words at each node.
- `prototypes`, `label_texts`: similarity to the labels' vectors, as trained.
- `label_words`: words and parts of words that a query shares with a label's text.
- `frequency`: how often a label occurs, whatever the query.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibrated
from vixml.classifier.features import classifier_features
from vixml.classifier.label_tree import LabelTree
from vixml.core.errors import StateError
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendParams, NeighbourParams
from vixml.ranking.blend import DEPTH, Evidence, blend, contribution
from vixml.ranking.features import IMAGES, Described, FeatureMaps
from vixml.ranking.neighbours import neighbour_scores
from vixml.ranking.similarity import Blocks, Items, most_similar
from vixml.retrieval.augmentation import sparse_top_k, without_pairs
from vixml.retrieval.exact import top_k
from vixml.retrieval.index import LabelIndex, SearchResult

_Source = Callable[[Described, Blocks, int], Evidence]
"""Queries, their feature spaces, and how many labels of each are wanted in, evidence out."""
TREE_SPACE = "words"
"""Space of the label tree: parts of words add little to it and take six times as long."""
_FEW = DEPTH // 2
"""Excluded labels of a query that are taken out of its ranking in the end; with more, all parts look deeper."""


@dataclass(frozen=True)
class LabelSide:
    """What is known of the labels, a row each; a label added after training has only its text.

    Args:
        terms: Sparse feature spaces of the labels' texts, CSR [L, terms].
        inverse_propensity: float64 [L].
        prior: Share of the training queries that have the label, float32 [L].
        relevance: Labels of the training queries, CSR [N, L].
        classifiers: Weights [L, D]; rows of zeros for labels without a classifier. None: there are none.
        prototypes: Index over the label prototypes.
        texts: Index over the embeddings of the label texts.
        tree: Tree of the labels that have a training query. None: there is none.
    """

    terms: Blocks
    inverse_propensity: NDArray[np.float64]
    prior: NDArray[np.float32]
    relevance: sp.csr_matrix
    classifiers: NDArray[np.floating] | None = None
    prototypes: LabelIndex | None = None
    texts: LabelIndex | None = None
    tree: LabelTree | None = None

    def among(
        self, rows: NDArray[np.int64], *, prototypes: LabelIndex | None = None, texts: LabelIndex | None = None
    ) -> LabelSide:
        """Return the side of some labels, with indexes over them.

        Args:
            rows: Their rows int64 [l].
            prototypes: Index over their prototypes.
            texts: Index over their texts.
        """
        classifiers = None if self.classifiers is None else self.classifiers[rows]
        tree = None if self.tree is None else self.tree.among(rows)
        terms = {name: block[rows] for name, block in self.terms.items()}
        relevance = sp.csr_matrix(self.relevance[:, rows])
        return LabelSide(
            terms, self.inverse_propensity[rows], self.prior[rows], relevance, classifiers, prototypes, texts, tree
        )


@dataclass(frozen=True)
class EvidenceRanker:
    """Ranks labels by all evidence.

    Args:
        maps: Turn items into feature spaces.
        keys: Training queries in these spaces.
        side: The label side.
        spaces: Weight of each space where training queries are compared.
        params: Weights of the parts.
        neighbours: Neighbours and their regression.
        classifier: Features of the classifiers.
        calibration: From its scores to probabilities, or why there are none; None where nobody asked.
        block: Queries ranked at once.
    """

    maps: FeatureMaps
    keys: Blocks
    side: LabelSide
    spaces: dict[str, float]
    params: BlendParams
    neighbours: NeighbourParams = field(default_factory=NeighbourParams)
    classifier: ClassifierParams = field(default_factory=ClassifierParams)
    calibration: Calibrated | None = None
    block: int = 1024
    _joined: dict[str, Items] = field(default_factory=dict, init=False, repr=False, compare=False)

    mode: ClassVar[str] = "evidence"
    prior: ClassVar[None] = None

    @property
    def size(self) -> int:
        """Number of labels."""
        return int(self.side.relevance.shape[1])

    @property
    def labels(self) -> LabelIndex:
        """Index over the label prototypes alone.

        Raises:
            StateError: It was opened without.
        """
        if self.side.prototypes is None:
            raise StateError("this ranking was opened without the label prototypes")
        return self.side.prototypes

    def search(
        self,
        queries: Described | NDArray[Any],
        k: int,
        *,
        exclude: sp.csr_matrix | None = None,
        imageless: NDArray[np.bool_] | None = None,
    ) -> SearchResult:
        """Return scores float32 [n, k] and labels int64 [n, k], best first, padded with -inf and -1.

        Args:
            queries: n queries; the ranking of one does not depend on the others. Bare embeddings [n, d] are queries
                without text and images.
            k: Labels wanted.
            exclude: Pairs left out, CSR [n, L]; the scores of the others are what they are without any.
            imageless: Not used: the query's own images decide.
        """
        if isinstance(queries, np.ndarray):
            queries = Described([""] * len(queries), queries)
        used = [name for name, part in self.params.parts.items() if part.weight > 0]
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        labels = np.full((len(queries), k), -1, dtype=np.int64)
        for rows, parts in self.gather(queries, used, exclude=exclude):
            blended = blend(parts, self.params, self.side.inverse_propensity)
            pairs = None if exclude is None else sp.csr_matrix(exclude[rows])
            scores[rows], labels[rows] = sparse_top_k(without_pairs(blended, pairs), k)
        return scores, labels

    def shares(self, queries: Described, labels: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return what each part gave to labels of queries: part -> float32 [n, k]; together they are the scores.

        Args:
            queries: n queries.
            labels: A ranking of theirs without excluded pairs, int64 [n, k], padded with -1.
        """
        used = [name for name, part in self.params.parts.items() if part.weight > 0]
        found = {name: np.zeros(labels.shape, dtype=np.float32) for name in used}
        for rows, parts in self.gather(queries, used):
            real = labels[rows] >= 0
            query = np.broadcast_to(np.arange(len(rows))[:, None], real.shape)[real]
            for name in used:
                given = contribution(parts[name], self.params.parts[name], self.side.inverse_propensity)
                block = np.zeros(real.shape, dtype=np.float32)
                block[real] = np.asarray(given[query, labels[rows][real]]).ravel()
                found[name][rows] = block
        return found

    @property
    def available(self) -> tuple[str, ...]:
        """Names of the parts that there is something for."""
        return tuple(self._sources())

    def gather(
        self, queries: Described, names: Collection[str], *, exclude: sp.csr_matrix | None = None
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, Evidence]]]:
        """Yield rows of queries, block by block, and the evidence of the named parts about them.

        What a part says of a label does not depend on the excluded ones, which are still among its evidence; only a
        query with many of them is asked about the others alone, for it would be left with too few.

        Args:
            queries: n queries.
            names: Parts wanted.
            exclude: Pairs that are taken out afterwards, CSR [n, L].
        """
        sources = {name: source for name, source in self._sources().items() if name in names}
        counts = np.zeros(len(queries), dtype=np.int64) if exclude is None else np.diff(exclude.indptr)
        for group in (np.flatnonzero(counts <= _FEW), np.flatnonzero(counts > _FEW)):
            for begin in range(0, len(group), self.block):
                rows = group[begin : begin + self.block]
                asked = queries.take(rows)
                pairs = exclude[rows] if exclude is not None and counts[rows[0]] > _FEW else None
                depth = DEPTH if pairs is None else DEPTH + int(counts[rows].max())
                blocks = self.maps.apply(asked)
                yield (
                    rows,
                    {
                        name: source(asked, blocks, depth).without(pairs).strongest(DEPTH)
                        for name, source in sources.items()
                    },
                )

    def tuned(self, spaces: dict[str, float] | None = None, params: BlendParams | None = None) -> EvidenceRanker:
        """Return the ranking with other weights."""
        return replace(self, spaces=spaces or self.spaces, params=params or self.params)

    def _sources(self) -> dict[str, _Source]:
        sources: dict[str, _Source] = {}
        sources["neighbours"] = lambda _, blocks, __: self._near("neighbours", blocks, self.spaces)
        if IMAGES in self.keys:
            text = {name: 1.0 for name in self.keys if name != IMAGES}
            sources["neighbours_text"] = lambda _, blocks, __: self._near("text", blocks, text)
            sources["neighbours_images"] = lambda _, blocks, __: self._near(IMAGES, blocks, {IMAGES: 1.0})
        if self.side.classifiers is not None:
            sources["classifiers"] = partial(self._classify, self.side.classifiers)
        if self.side.tree is not None:
            sources["label_tree"] = partial(self._descend, self.side.tree)
        if self.side.prototypes is not None:
            sources["prototypes"] = partial(self._search, self.side.prototypes)
        if self.side.texts is not None:
            sources["label_texts"] = partial(self._search, self.side.texts)
        if self.side.terms:
            sources["label_words"] = self._words
        sources["frequency"] = self._frequency
        return sources

    def _near(self, name: str, blocks: Blocks, spaces: dict[str, float]) -> Evidence:
        keys = self._join(name, self.keys, spaces)
        return Evidence(neighbour_scores(Items.join(blocks, spaces), keys, self.side.relevance, self.neighbours))

    def _join(self, name: str, blocks: Blocks, weights: dict[str, float]) -> Items:
        """Join what stays the same from query to query once."""
        if name not in self._joined:
            self._joined[name] = Items.join(blocks, weights)
        return self._joined[name]

    def _search(self, index: LabelIndex, queries: Described, _: Blocks, depth: int) -> Evidence:
        return Evidence.of_similarities(index.search(queries.vectors, depth), self.size)

    def _classify(self, weights: NDArray[np.floating], _: Described, blocks: Blocks, depth: int) -> Evidence:
        return Evidence.of_scores(top_k(classifier_features(blocks, self.classifier), weights, depth), self.size)

    def _descend(self, tree: LabelTree, _: Described, blocks: Blocks, depth: int) -> Evidence:
        return Evidence.of_scores(tree.search(blocks[TREE_SPACE], depth), self.size)

    def _words(self, _: Described, blocks: Blocks, depth: int) -> Evidence:
        equal = dict.fromkeys(self.side.terms, 1.0)
        shared = {name: blocks[name] for name in self.side.terms}
        labels = self._join("label_words", self.side.terms, equal)
        return Evidence.of_scores(most_similar(Items.join(shared, equal), labels, depth), self.size)

    def _frequency(self, queries: Described, _: Blocks, depth: int) -> Evidence:
        order = np.argsort(-self.side.prior, kind="stable")[:depth]
        shape = (len(queries), len(order))
        return Evidence.of_scores(
            (np.broadcast_to(self.side.prior[order], shape), np.broadcast_to(order, shape)), self.size
        )


def with_labels(ranker: EvidenceRanker, kept: NDArray[np.int64], texts: Sequence[str]) -> EvidenceRanker:
    """Return a ranking of other labels: some that are there, in this order, and then new ones without training query.

    Args:
        ranker: A fitted ranking.
        kept: Rows of the labels that stay int64 [m].
        texts: Texts of all labels afterwards, at least m.
    """
    side, new = ranker.side.among(kept), len(texts) - len(kept)
    relevance = sp.hstack([side.relevance, sp.csr_matrix((side.relevance.shape[0], new))], format="csr")
    rarest = ranker.side.inverse_propensity.max(initial=1.0)  # a label without any training query
    classifiers = side.classifiers
    if classifiers is not None:
        classifiers = np.concatenate([classifiers, np.zeros((new, classifiers.shape[1]), dtype=classifiers.dtype)])
    changed = LabelSide(
        ranker.maps.lexical.apply(texts),
        np.append(side.inverse_propensity, np.full(new, rarest)),
        np.append(side.prior, np.zeros(new, dtype=np.float32)),
        sp.csr_matrix(relevance, dtype=np.float32),
        classifiers,
        tree=side.tree,
    )
    return replace(ranker, side=changed)


@dataclass(frozen=True)
class AmongLabels:
    """A ranking of some labels only, which answers in rows of the whole.

    Args:
        ranker: Ranks these labels.
        rows: Their rows int64 [l].
    """

    ranker: EvidenceRanker
    rows: NDArray[np.int64]

    def search(
        self, queries: Described | NDArray[Any], k: int, *, exclude: sp.csr_matrix | None = None, imageless: Any = None
    ) -> SearchResult:
        """See `EvidenceRanker.search`."""
        pairs = None if exclude is None else sp.csr_matrix(exclude[:, self.rows])
        scores, found = self.ranker.search(queries, k, exclude=pairs)
        return scores, np.where(found >= 0, self.rows[found], -1)


def label_side(
    maps: FeatureMaps, texts: Sequence[str], relevance: sp.csr_matrix, weights: NDArray[np.float64]
) -> LabelSide:
    """Return what texts and training relevance say about the labels.

    Args:
        maps: The feature maps.
        texts: Text of each label.
        relevance: Labels of the training queries, CSR [N, L].
        weights: Inverse propensity of each label float64 [L].
    """
    prior = np.bincount(relevance.indices, minlength=relevance.shape[1]) / max(1, relevance.shape[0])
    terms = maps.lexical.apply(texts)
    return LabelSide(terms, weights, prior.astype(np.float32), sp.csr_matrix(relevance, dtype=np.float32))
