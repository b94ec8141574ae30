"""Making a predictor bundle from a variant's published parts; what is in it, `vixml.serving.bundle` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from vixml.calibration.calibration import FILE as CALIBRATION
from vixml.core.directories import Built, SealedDirectory, WorkDirectory, link, write_json
from vixml.core.errors import DataError, StateError
from vixml.metrics.propensity import label_frequencies
from vixml.params.base import Params
from vixml.params.data.vision import VisionParams
from vixml.params.retrieval import RetrievalParams
from vixml.params.variant import VariantParams

if TYPE_CHECKING:
    import pandas as pd

KIND = "predictor"
SETTINGS = "settings.json"
EVIDENCE = "evidence"
TRAIN_FILES = ("train_items.parquet", "train_queries.npy", "train_relevance.npz")


class BundleSettings(Params):
    """What a bundle's files do not say themselves."""

    dataset: str
    """Name of the data set."""
    variant: str
    """Name of the variant."""
    retrieval: RetrievalParams
    """Index and ranking, with the blend's weights as tuned."""
    max_images: int = 3
    """Images of an item that are used."""
    vision: VisionParams | None = None
    """Vision encoder of the image bank; None for a text-only model."""
    vision_seed: int = 0
    """Seed of a `tiny` vision encoder."""
    image_root: str | None = None
    """Folder that image paths of labels and training items are relative to, where it was known."""
    added_roots: tuple[str, ...] = ()
    """Folders of the images of labels added or changed after training, whose paths are absolute."""


def bundle_settings(
    params: VariantParams,
    *,
    dataset: str,
    model: SealedDirectory,
    image_bank: SealedDirectory | None,
) -> BundleSettings:
    """Return the settings of a variant's bundle.

    Args:
        params: Settings of the variant.
        dataset: Name of the data set.
        model: Published model; its folder lies in the variant's.
        image_bank: The image bank; None for a text-only variant.

    Raises:
        StateError: The image bank does not tell how it was made.
    """
    same = {"dataset": dataset, "variant": model.path.parent.name, "retrieval": params.retrieval}
    if image_bank is None or not params.model.uses_images:
        return BundleSettings(**same)
    facts = image_bank.meta
    if "vision" not in facts:
        raise StateError(
            "the image bank lacks the record of how it was made",
            file=image_bank.path,
            remedy="run `kedro run --pipeline=image_embedding` again.",
        )
    return BundleSettings(
        **same,
        max_images=params.model.max_images,
        vision=_lasting(VisionParams.model_validate(facts["vision"])),
        vision_seed=facts["seed"],
        image_root=facts["root"],
    )


def _lasting(vision: VisionParams) -> VisionParams:
    """Return the settings with the absolute path of a local vision model: a bundle is opened from anywhere."""
    prefix, _, folder = vision.model.rpartition("local-dir:")
    if not prefix and Path(folder).expanduser().is_dir():
        return vision.model_copy(update={"model": f"local-dir:{Path(folder).expanduser().resolve()}"})
    return vision


def build_bundle(
    settings: BundleSettings,
    *,
    model: SealedDirectory,
    embeddings: SealedDirectory,
    index: SealedDirectory,
    items_label: pd.DataFrame,
    items_train: pd.DataFrame,
    relevance_train: sp.csr_matrix,
    work: WorkDirectory,
    evidence: SealedDirectory | None = None,
) -> Built:
    """Gather a variant's published parts in one directory.

    Args:
        settings: What the parts do not say.
        model: Published model.
        embeddings: Published embeddings (`label_texts.npy`, `label_prototypes.npy`, maybe `train_queries.npy`).
        index: Published label index.
        items_label: The labels, in the order of their embeddings.
        items_train: The training queries, likewise.
        relevance_train: Their labels [N, L].
        work: Work directory.
        evidence: Published evidence, and the probabilities of any ranking.

    Raises:
        DataError: The parts do not fit together.
    """
    num_labels = int(model.meta.get("labels", len(items_label)))
    if not len(items_label) == relevance_train.shape[1] == num_labels or len(items_train) != relevance_train.shape[0]:
        raise DataError(
            "items, relevance and model do not belong together",
            found=f"{len(items_label)} labels and {len(items_train)} training items, relevance {relevance_train.shape}",
            remedy="run the variant's pipeline from its first stage again.",
        )
    folder = work.fresh(KIND)
    link_tree(model.path, folder / "model", model)
    link_tree(index.path, folder / "index", index)
    if evidence is not None and evidence.meta["mode"] == "evidence":
        link_tree(evidence.path, folder / EVIDENCE, evidence)
    elif evidence is not None and CALIBRATION in evidence.files:
        (folder / EVIDENCE).mkdir()
        link(evidence.path / CALIBRATION, folder / EVIDENCE / CALIBRATION)
    names = ["label_texts.npy", "label_prototypes.npy"]
    if "train_queries.npy" in embeddings.files:
        names.append("train_queries.npy")
        items_train[["uid", "text", "images"]].to_parquet(folder / "train_items.parquet", index=False)
        sp.save_npz(folder / "train_relevance.npz", relevance_train, compressed=False)
    for name in names:
        link(embeddings.path / name, folder / name)
    labels = items_label[["uid", "text", "images"]].assign(
        trained_row=np.arange(len(items_label)), frequency=label_frequencies(relevance_train)
    )
    labels.to_parquet(folder / "labels.parquet", index=False)
    return finish_bundle(folder, settings, num_labels=len(items_label), model=model.fingerprint)


def finish_bundle(folder: Path, settings: BundleSettings, *, num_labels: int, model: str, **facts: Any) -> Built:
    """Write the settings of a bundle and return it for publication.

    Args:
        folder: Its finished files.
        settings: Its settings.
        num_labels: Number of labels.
        model: Fingerprint of the model.
        facts: Further facts for the manifest.
    """
    write_json(folder / SETTINGS, settings.model_dump(mode="json"))
    same = {name: getattr(settings, name) for name in ("dataset", "variant")}
    return Built(folder, KIND, {**same, "labels": num_labels, "model": model, **facts})


def link_tree(source: Path, target: Path, sealed: SealedDirectory) -> None:
    """Link the files of a published directory that lie in its folder `source` (all, or those of a sub-folder)."""
    for file in (sealed.path / name for name in sealed.files):
        if file.is_relative_to(source):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            link(file, copy)
