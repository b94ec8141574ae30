"""From training queries to a ranking with all evidence: maps, classifiers, and weights fitted on validation queries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import NO_VALIDATION, Absent
from vixml.calibration.fit import fit_calibration
from vixml.classifier.features import classifier_features
from vixml.classifier.ridge import train_classifiers
from vixml.classifier.train_tree import train_tree
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendParams, CalibrationParams, EvidenceParams, PartParams
from vixml.ranking.blend import Evidence
from vixml.ranking.evidence import TREE_SPACE, EvidenceRanker, label_side
from vixml.ranking.features import Described, FeatureMaps
from vixml.ranking.fitting import changed, fit_blend
from vixml.ranking.spaces import fit_space_weights
from vixml.ranking.unseen import unseen_ranking
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
        return Labelled(self.items.take(rows), sp.csr_matrix(self.relevance[rows]), sp.csr_matrix(self.exclude[rows]))

    @classmethod
    def join(cls, one: Labelled, other: Labelled) -> Labelled:
        """Return the queries of both."""
        relevance, exclude = (
            sp.csr_matrix(sp.vstack([getattr(side, name) for side in (one, other)]), dtype=np.float32)
            for name in ("relevance", "exclude")
        )
        return cls(Described.join(one.items, other.items), relevance, exclude)


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
    calibration: CalibrationParams | None = None,
) -> tuple[EvidenceRanker, dict[str, Any]]:
    """Return a ranking whose weights are fitted, and a report of the fit.

    Once the weights stand, the queries that they were fitted on are neighbours and examples as all others.

    Args:
        train: Training queries.
        validation: Validation queries, which no part has seen; None or none at all: training queries stand in.
        label_texts: Text of each label.
        weights: Inverse propensity of each label float64 [L].
        params: Parts and fits.
        prototypes: Index over the label prototypes of a trained model.
        texts: Index over its embeddings of the label texts.
        work: Folder in which a killed training of the classifiers goes on.
        calibration: How scores become probabilities; None: nobody asks for them. Queries that stand in for validation
            queries do not tell: the trained parts have seen them.
    """
    if validation is not None and len(validation):
        ranker = _untuned(train, label_texts, weights, params, prototypes, texts, None)
        tuned, report = _tune(ranker, validation, params, calibration)
        return _with_all(tuned, validation, params, work), report
    absent = None if calibration is None else Absent(absent=NO_VALIDATION)
    rows = np.arange(len(train))
    count = min(params.held_out, len(train) // 10)
    if count < 2:
        ranker = _untuned(train, label_texts, weights, params, prototypes, texts, work)
        ranker = replace(ranker, calibration=absent)
        return ranker.tuned(params=_with_trained(_only_neighbours(), ranker, params)), {"queries": 0}
    held = np.linspace(0, len(train) - 1, count).astype(np.int64)
    rest = np.setdiff1d(rows, held)
    stand_in = _untuned(train.take(rest), label_texts, weights, params, None, None, None)
    tuned, report = _tune(stand_in, train.take(held), params)
    used = _only_used(params, tuned.params)
    ranker = _untuned(train, label_texts, weights, used, prototypes, texts, work)
    ranker = replace(ranker, calibration=absent)
    return ranker.tuned(tuned.spaces, _with_trained(tuned.params, ranker, params)), {**report, "held_out": count}


def fit_held_out(
    train: Labelled,
    held: Labelled,
    *,
    label_texts: Sequence[str],
    weights: NDArray[np.float64],
    params: EvidenceParams,
    calibration: CalibrationParams,
) -> tuple[EvidenceRanker, dict[str, Any]]:
    """Return a ranking by the evidence of some training queries alone, fitted on others that stay unknown to it.

    Args:
        train: Queries that are evidence.
        held: Queries that weights and probabilities are fitted on.
        label_texts: Text of each label.
        weights: Inverse propensity of each label float64 [L].
        params: Parts and fits.
        calibration: How scores become probabilities.
    """
    return _tune(_untuned(train, label_texts, weights, params, None, None, None), held, params, calibration)


def with_weights_of(
    fitted: EvidenceRanker,
    train: Labelled,
    *,
    label_texts: Sequence[str],
    weights: NDArray[np.float64],
    params: EvidenceParams,
) -> EvidenceRanker:
    """Return a ranking by other training queries, with the weights and probabilities of a fitted one."""
    other = _untuned(train, label_texts, weights, _only_used(params, fitted.params), None, None, None)
    return replace(other.tuned(fitted.spaces, fitted.params), calibration=fitted.calibration)


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
    equal, classifier = dict.fromkeys(keys, 1.0), params.classifier or ClassifierParams()
    ranker = EvidenceRanker(maps, keys, side, equal, _only_neighbours(), params.neighbours, classifier)
    return _with_classifiers(ranker, params, work)


def _with_classifiers(ranker: EvidenceRanker, params: EvidenceParams, work: Path | None) -> EvidenceRanker:
    """Train the classifiers and the tree, if there are to be any, on all queries that the ranking knows."""
    side = ranker.side
    if params.classifier is not None:
        features = classifier_features(ranker.keys, params.classifier)
        trained = train_classifiers(features, side.relevance, params.classifier, work=work)
        side = replace(side, classifiers=_stored(trained))
    if params.tree is not None and TREE_SPACE in ranker.keys:
        side = replace(side, tree=train_tree(ranker.keys[TREE_SPACE], side.relevance, params.tree))
    return replace(ranker, side=side)


def _with_all(
    ranker: EvidenceRanker, validation: Labelled, params: EvidenceParams, work: Path | None
) -> EvidenceRanker:
    """Return the ranking with the validation queries among those that it knows."""
    keys: dict[str, Any] = {}
    for name, more in ranker.maps.apply(validation.items).items():
        sparse = sp.issparse(more)
        keys[name] = (
            sp.csr_matrix(sp.vstack([ranker.keys[name], more]))
            if sparse
            else np.concatenate([ranker.keys[name], _stored(more)])
        )
    relevance = sp.csr_matrix(sp.vstack([ranker.side.relevance, validation.relevance]), dtype=np.float32)
    prior = (np.bincount(relevance.indices, minlength=relevance.shape[1]) / relevance.shape[0]).astype(np.float32)
    side = replace(ranker.side, relevance=relevance, prior=prior, classifiers=None, tree=None)
    return _with_classifiers(replace(ranker, keys=keys, side=side), _only_used(params, ranker.params), work)


def _only_used(params: EvidenceParams, blend: BlendParams) -> EvidenceParams:
    """Return the settings without the classifiers and the tree that the weights leave out: nobody asks them."""
    used = {name for name, part in blend.parts.items() if part.weight}
    settings = {"classifiers": "classifier", "label_tree": "tree"}
    return params.model_copy(update={setting: None for name, setting in settings.items() if name not in used})


def _tune(
    ranker: EvidenceRanker,
    validation: Labelled,
    params: EvidenceParams,
    calibration: CalibrationParams | None = None,
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
    gathered = list(ranker.gather(chosen.items, ranker.available, exclude=chosen.exclude))
    order = np.argsort(np.concatenate([rows for rows, _ in gathered]), kind="stable")
    parts = {
        name: Evidence(sp.vstack([block[name].scores for _, block in gathered], format="csr")[order], first.mass)
        for name, first in gathered[0][1].items()
    }
    blend, report = fit_blend(parts, chosen.relevance, side.inverse_propensity, params.blend, exclude=chosen.exclude)
    report |= {"spaces": spaces, "spaces_tried": tried, "seconds": time.perf_counter() - started}
    ranker = ranker.tuned(params=blend)
    if calibration is not None:
        ranker = _calibrated(ranker, parts, chosen, report, calibration)
    return ranker, report


def _calibrated(
    ranker: EvidenceRanker,
    parts: Mapping[str, Evidence],
    validation: Labelled,
    report: Mapping[str, Any],
    params: CalibrationParams,
) -> EvidenceRanker:
    """Fit the probabilities on rankings by weights that did not see the query, before it becomes a neighbour."""
    expected, side = report["expected"], ranker.side
    halves = [] if expected is None or expected["gain"] < 0 else map(BlendParams.model_validate, expected["halves"])
    scores, labels = unseen_ranking(
        parts,
        ranker.params,
        list(halves),
        side.inverse_propensity,
        exclude=validation.exclude,
        depth=params.depth,
    )
    frequencies = np.bincount(side.relevance.indices, minlength=ranker.size)
    return replace(ranker, calibration=fit_calibration(scores, labels, validation.relevance, frequencies, params))


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
