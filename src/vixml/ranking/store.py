"""A ranking with all evidence as a folder of arrays and JSON; opened again without pickle.

settings.json            weights of spaces and parts, settings
maps/                    terms and whitenings
keys_{space}.npy|.npz    training queries in each feature space (float16, or CSR)
labels_{space}.npz       label texts in the sparse spaces
labels.npz               inverse propensity, prior
relevance.npz            labels of the training queries
classifiers.npy          float16 [L, D], where there are any
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from vixml.core.directories import read_json, write_json
from vixml.core.errors import StateError
from vixml.params.base import Params
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendParams, NeighbourParams
from vixml.ranking.evidence import EvidenceRanker, LabelSide
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
    settings = _Settings.model_validate(read_json(folder / "settings.json"))
    try:
        with np.load(folder / "labels.npz", allow_pickle=False) as arrays:
            weights, prior = arrays["inverse_propensity"], arrays["prior"]
        side = LabelSide(
            {name: sp.csr_matrix(sp.load_npz(folder / f"labels_{name}.npz")) for name in settings.terms},
            weights,
            prior,
            sp.csr_matrix(sp.load_npz(folder / "relevance.npz")),
            np.load(folder / "classifiers.npy", mmap_mode="r", allow_pickle=False) if settings.classifiers else None,
            prototypes,
            texts,
        )
        keys = {name: _load(folder / f"keys_{name}", sparse) for name, sparse in settings.keys.items()}
    except (OSError, ValueError, KeyError) as err:
        raise StateError(
            "a part of the ranking is missing or damaged",
            file=folder,
            found=str(err),
            remedy="run the variant's `evaluation` pipeline again.",
        ) from err
    return EvidenceRanker(
        FeatureMaps.open(folder / "maps"),
        keys,
        side,
        settings.spaces,
        settings.params,
        settings.neighbours,
        settings.classifier,
    )


def _save(file: Path, block: Any) -> None:
    sparse = sp.issparse(block)
    if sparse:
        sp.save_npz(file.with_suffix(".npz"), block)
    else:
        np.save(file.with_suffix(".npy"), block)


def _load(file: Path, sparse: bool) -> Any:
    if sparse:
        return sp.csr_matrix(sp.load_npz(file.with_suffix(".npz")))
    return np.load(file.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
