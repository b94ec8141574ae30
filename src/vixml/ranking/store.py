"""A ranking with all evidence as a folder of arrays and JSON; opened again without pickle.

settings.json            weights of spaces and parts, settings
maps/                    terms and whitenings
keys_{space}.npy|.npz    training queries in each feature space (float16, or CSR)
labels_{space}.npz       label texts in the sparse spaces
labels.npz               inverse propensity, prior
relevance.npz            labels of the training queries
classifiers.npy          float16 [L, D], where there are any
tree.npz, tree_{level}.npz   the label tree, where there is one
calibration.json         from scores to probabilities, or why there are none
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from vixml.calibration.calibration import open_calibration, save_calibration
from vixml.classifier.label_tree import LabelTree
from vixml.core.directories import write_json
from vixml.core.guards.untrusted import open_array, opening, read_arrays, read_document, read_sparse
from vixml.params.base import Params
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendParams, NeighbourParams
from vixml.ranking.evidence import TREE_SPACE, EvidenceRanker, LabelSide
from vixml.ranking.features import FeatureMaps
from vixml.retrieval.index import LabelIndex


class _Settings(Params):
    spaces: dict[str, float]
    params: BlendParams
    neighbours: NeighbourParams
    classifier: ClassifierParams
    keys: dict[str, bool] = Field(description="space -> whether it is sparse")
    terms: tuple[str, ...]
    classifiers: bool
    tree: bool = False


def save_evidence(ranker: EvidenceRanker, folder: Path) -> None:
    """Write a ranking into `folder`, which exists; the indexes over trained vectors stay where they are."""
    side = ranker.side
    settings = _Settings(
        spaces=ranker.spaces,
        params=ranker.params,
        neighbours=ranker.neighbours,
        classifier=ranker.classifier,
        keys={name: sp.issparse(block) for name, block in ranker.keys.items()},
        terms=tuple(side.terms),
        classifiers=side.classifiers is not None,
        tree=side.tree is not None,
    )
    write_json(folder / "settings.json", settings.model_dump(mode="json"))
    (folder / "maps").mkdir()
    ranker.maps.save(folder / "maps")
    for name, block in ranker.keys.items():
        _save(folder / f"keys_{name}", block)
    for name, block in side.terms.items():
        sp.save_npz(folder / f"labels_{name}.npz", block)
    np.savez(folder / "labels.npz", inverse_propensity=side.inverse_propensity, prior=side.prior)
    sp.save_npz(folder / "relevance.npz", side.relevance)
    if side.classifiers is not None:
        np.save(folder / "classifiers.npy", side.classifiers)
    if side.tree is not None:
        side.tree.save(folder)
    if ranker.calibration is not None:
        save_calibration(ranker.calibration, folder)


def open_evidence(
    folder: Path, *, prototypes: LabelIndex | None = None, texts: LabelIndex | None = None
) -> EvidenceRanker:
    """Open what `save_evidence` wrote.

    Args:
        folder: The folder.
        prototypes: Index over the label prototypes, where that part has a weight.
        texts: Index over the label texts, likewise.

    Raises:
        StateError: A file is missing or damaged.
    """
    document = read_document(folder / "settings.json")
    with opening(folder / "settings.json"):
        settings = _Settings.model_validate(document)
        if odd := [name for name in (*settings.terms, *settings.keys) if not name.isidentifier()]:
            raise ValueError(f"spaces named {odd}")
    relevance = read_sparse(folder / "relevance.npz")
    num_queries, num_labels = relevance.shape
    arrays = read_arrays(folder / "labels.npz")
    with opening(folder / "labels.npz"):
        weights, prior = arrays["inverse_propensity"], arrays["prior"]
        if weights.shape != (num_labels,) or prior.shape != (num_labels,):
            raise ValueError(f"{weights.shape} and {prior.shape} numbers of {num_labels} labels")
    maps = FeatureMaps.open(folder / "maps")
    width = len(maps.lexical.terms.get(TREE_SPACE, ()))
    side = LabelSide(
        {name: read_sparse(folder / f"labels_{name}.npz", shape=(num_labels, None)) for name in settings.terms},
        weights,
        prior,
        relevance,
        open_array(folder / "classifiers.npy", shape=(num_labels, None)) if settings.classifiers else None,
        prototypes,
        texts,
        LabelTree.open(folder, width=width, num_labels=num_labels) if settings.tree else None,
    )
    keys = {name: _load(folder / f"keys_{name}", sparse, num_queries) for name, sparse in settings.keys.items()}
    return EvidenceRanker(
        maps,
        keys,
        side,
        settings.spaces,
        settings.params,
        settings.neighbours,
        settings.classifier,
        open_calibration(folder),
    )


def _save(file: Path, block: Any) -> None:
    sparse = sp.issparse(block)
    if sparse:
        sp.save_npz(file.with_suffix(".npz"), block)
    else:
        np.save(file.with_suffix(".npy"), block)


def _load(file: Path, sparse: bool, rows: int) -> Any:
    if sparse:
        return read_sparse(file.with_suffix(".npz"), shape=(rows, None))
    return open_array(file.with_suffix(".npy"), shape=(rows, None))
