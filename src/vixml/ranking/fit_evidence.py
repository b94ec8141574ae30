"""From training queries to a ranking with all evidence: maps, classifiers, and weights fitted on validation queries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.classifier.features import classifier_features
from vixml.classifier.ridge import train_classifiers
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendParams, EvidenceParams, PartParams
from vixml.ranking.blend import Evidence
from vixml.ranking.evidence import EvidenceRanker, label_side
from vixml.ranking.features import Described, FeatureMaps, ImageRows
from vixml.ranking.fitting import changed, fit_blend
from vixml.ranking.spaces import fit_space_weights
from vixml.retrieval.index import LabelIndex


@dataclass(frozen=True)
class Labelled:
    """Queries with their labels.

    Args:
        items: n queries.
        relevance: Their labels, CSR [n, L].
        exclude: Pairs left out of the predictions, CSR [n, L].
    """

    items: Described
    relevance: sp.csr_matrix
    exclude: sp.csr_matrix

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: NDArray[np.int64]) -> Labelled:
        """Return some of the queries."""
        images = self.items.images
        if images is not None:
            lengths = np.diff(images.offsets)
            kept = np.concatenate([np.arange(images.offsets[row], images.offsets[row + 1]) for row in rows])
            offsets = np.append(0, np.cumsum(lengths[rows]))
            images = ImageRows(images.vectors[kept.astype(np.int64)], offsets)
        items = Described([self.items.texts[row] for row in rows], self.items.vectors[rows], images)
        return Labelled(items, sp.csr_matrix(self.relevance[rows]), sp.csr_matrix(self.exclude[rows]))


def fit_evidence(
    train: Labelled,
    validation: Labelled | None,
    *,
    label_texts: Sequence[str],
    weights: NDArray[np.float64],
    params: EvidenceParams,
    prototypes: LabelIndex | None = None,
    texts: LabelIndex | None = None,
    work: Path | None = None,
) -> tuple[EvidenceRanker, dict[str, Any]]:
    """Return a ranking whose weights are fitted, and a report of the fit.

    Args:
        train: Training queries.
        validation: Validation queries, which no part has seen; None or none at all: training queries stand in.
        label_texts: Text of each label.
        weights: Inverse propensity of each label float64 [L].
        params: Parts and fits.
        prototypes: Index over the label prototypes of a trained model.
        texts: Index over its embeddings of the label texts.
        work: Folder in which a killed training of the classifiers goes on.
    """
    if validation is not None and len(validation):
        ranker = _untuned(train, label_texts, weights, params, prototypes, texts, work)
        return _tune(ranker, validation, params)
    rows = np.arange(len(train))
    count = min(params.held_out, len(train) // 10)
    if count < 2:
        ranker = _untuned(train, label_texts, weights, params, prototypes, texts, work)
        return ranker.tuned(params=_with_trained(_only_neighbours(), ranker, params)), {"queries": 0}
    held = np.linspace(0, len(train) - 1, count).astype(np.int64)
    rest = np.setdiff1d(rows, held)
    stand_in = _untuned(train.take(rest), label_texts, weights, params, None, None, None)
    tuned, report = _tune(stand_in, train.take(held), params)
    ranker = _untuned(train, label_texts, weights, params, prototypes, texts, work)
    return ranker.tuned(tuned.spaces, _with_trained(tuned.params, ranker, params)), {**report, "held_out": count}


def _untuned(
    train: Labelled,
    label_texts: Sequence[str],
    weights: NDArray[np.float64],
    params: EvidenceParams,
    prototypes: LabelIndex | None,
    texts: LabelIndex | None,
    work: Path | None,
) -> EvidenceRanker:
    """Fit the maps and train the classifiers."""
    maps = FeatureMaps.fit(train.items)
    keys = {name: block if sp.issparse(block) else _stored(block) for name, block in maps.apply(train.items).items()}
    side = replace(label_side(maps, label_texts, train.relevance, weights), prototypes=prototypes, texts=texts)
    if params.classifier is not None:
        features = classifier_features(keys, params.classifier)
        trained = train_classifiers(features, train.relevance, params.classifier, work=work)
        side = replace(side, classifiers=_stored(trained))
    equal, classifier = dict.fromkeys(keys, 1.0), params.classifier or ClassifierParams()
    return EvidenceRanker(maps, keys, side, equal, _only_neighbours(), params.neighbours, classifier)


def _tune(
    ranker: EvidenceRanker, validation: Labelled, params: EvidenceParams
) -> tuple[EvidenceRanker, dict[str, Any]]:
    started = time.perf_counter()
    rows = np.linspace(0, len(validation) - 1, min(len(validation), params.blend.max_queries)).astype(np.int64)
    chosen = validation.take(rows)
    side = ranker.side
    spaces, tried = fit_space_weights(
        ranker.maps.apply(chosen.items),
        ranker.keys,
        relevance=chosen.relevance,
        key_relevance=side.relevance,
        exclude=chosen.exclude,
        inverse_propensity=side.inverse_propensity,
        params=params.spaces,
    )
    ranker = ranker.tuned(spaces=spaces)
    blocks = [
        ranker.gather(
            chosen.items[at : at + ranker.block], ranker.available, exclude=chosen.exclude[at : at + ranker.block]
        )
        for at in range(0, len(chosen), ranker.block)
    ]
    parts = {
        name: Evidence(sp.vstack([block[name].scores for block in blocks], format="csr"), blocks[0][name].mass)
        for name in ranker.available
    }
    blend, report = fit_blend(parts, chosen.relevance, side.inverse_propensity, params.blend)
    report |= {"spaces": spaces, "spaces_tried": tried, "seconds": time.perf_counter() - started}
    return ranker.tuned(params=blend), report


def _stored(array: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return what is stored, so that weights are fitted on what is ranked with later."""
    return array.astype(np.float16)


def _only_neighbours() -> BlendParams:
    return BlendParams(parts={"neighbours": PartParams(weight=1.0)})


def _with_trained(blend: BlendParams, ranker: EvidenceRanker, params: EvidenceParams) -> BlendParams:
    """Give the parts that could not be judged a weight of their own."""
    if "prototypes" not in ranker.available or not params.untuned_weight:
        return blend
    blend = blend.model_copy(update={"parts": {**blend.parts, "prototypes": PartParams()}})
    return changed(blend, "prototypes", weight=params.untuned_weight)
