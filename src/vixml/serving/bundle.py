"""The predictor bundle: one sealed directory with everything that a prediction needs.

    settings.json            data set, variant, retrieval settings, vision encoder (`BundleSettings`)
    model/                   the trained model (weights, configuration, tokenizer)
    labels.parquet           uid, text, images, trained_row (row in the model's label table), frequency (training
                             queries); -1 and 0 for a label added later
    label_texts.npy          embeddings of the labels' text and images float32 [L, d]
    label_prototypes.npy     what queries are compared with float32 [L, d]
    index/                   the label index; further indexes of a blended ranking in sub-folders
    evidence/                maps, training queries in all feature spaces, classifiers and weights, for that ranking
    train_items.parquet      uid, text, images of the training queries      ) only where the embeddings of the
    train_queries.npy        their embeddings float16 [N, d]                ) training queries were published
    train_relevance.npz      their labels, CSR [N, L]                       ) (retrieval.train_queries)

Large files are hard links to the published directories they come from: no second copy on disk. That is safe because a
published file is never changed in place, only replaced as a whole, and a link keeps its content alive then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.directories import (
    Built,
    SealedDirectory,
    WorkDirectory,
    is_sealed,
    link,
    open_sealed,
    read_json,
    write_json,
)
from vixml.core.errors import DataError, StateError
from vixml.metrics.propensity import label_frequencies
from vixml.params.base import Params
from vixml.params.data.vision import VisionParams
from vixml.params.retrieval import RetrievalParams
from vixml.params.variant import VariantParams

if TYPE_CHECKING:
    import pandas as pd

    from vixml.ranking.evidence import EvidenceRanker
    from vixml.retrieval.augmentation import Ranker
    from vixml.serving.encoder import ItemEncoder

KIND = "predictor"
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


@dataclass(frozen=True)
class PredictorBundle:
    """Read-only view of a bundle; arrays are memory maps, tables are read at first use.

    Args:
        sealed: The published directory.
        settings: Its settings.
    """

    sealed: SealedDirectory
    settings: BundleSettings

    @classmethod
    def open(cls, folder: str | Path) -> PredictorBundle:
        """Open a bundle, or the `predictor` in a variant's model folder.

        Raises:
            StateError: No complete bundle is there, or a file of it is missing or torn.
        """
        folder = Path(folder)
        if not is_sealed(folder) and is_sealed(folder / KIND):
            folder = folder / KIND
        sealed = open_sealed(folder, kind=KIND)
        return cls(sealed, BundleSettings.model_validate(read_json(folder / "settings.json")))

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.sealed.path

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The labels: uid, text, images (lists of paths relative to `settings.image_root`), trained_row, frequency."""
        labels = self._table("labels.parquet")
        # bundles of earlier versions have no frequencies, and no prior that asks for them
        return labels if "frequency" in labels else labels.assign(frequency=0)

    @property
    def label_prototypes(self) -> NDArray[np.float32]:
        """What queries are compared with float32 [L, d]."""
        return self._array("label_prototypes.npy")

    @property
    def label_texts(self) -> NDArray[np.float32]:
        """Embeddings of the labels' text and images float32 [L, d]."""
        return self._array("label_texts.npy")

    @property
    def has_train_queries(self) -> bool:
        """Whether the training queries are there: for the blended rankings and for explanations."""
        return all(name in self.sealed.files for name in TRAIN_FILES)

    @cached_property
    def train_items(self) -> pd.DataFrame:
        """The training queries: uid, text, images."""
        self._need_train_queries()
        return self._table("train_items.parquet")

    @property
    def train_queries(self) -> NDArray[np.float16]:
        """Embeddings of the training queries float16 [N, d]."""
        self._need_train_queries()
        return self._array("train_queries.npy")

    @cached_property
    def train_relevance(self) -> sp.csr_matrix:
        """Labels of the training queries, CSR [N, L]."""
        self._need_train_queries()
        return sp.csr_matrix(sp.load_npz(self.folder / "train_relevance.npz"))

    def ranker(self, *, device: str | None = None, plain: bool = False) -> Ranker | EvidenceRanker:
        """Return what ranks the labels of a query embedding, as the model was evaluated.

        Args:
            device: Where exact searches run; default the CPU.
            plain: Compare with the prototypes alone, whatever the settings say.
        """
        from vixml.retrieval.augmentation import open_ranker

        retrieval = self.settings.retrieval
        blended = not plain and retrieval.augmentation.mode != "none"
        ranker = open_ranker(
            self.folder / "index",
            self.folder,
            retrieval.augmentation if blended else retrieval.augmentation.model_copy(update={"mode": "none"}),
            relevance_train=self.train_relevance if blended else None,
            prior=None if plain else self._prior(),
            device=device,
        )
        if ranker.mode != "evidence":
            return ranker
        from vixml.ranking.store import open_evidence

        return open_evidence(self.folder / EVIDENCE, prototypes=ranker.labels, texts=ranker.texts)

    def encoder(self, *, device: str = "auto", precision: str = "fp32") -> ItemEncoder:
        """Load the network and return what embeds new items.

        Args:
            device: Where the network runs.
            precision: See `ItemEncoder`.
        """
        from vixml.models.build import open_model
        from vixml.models.device import resolve_device
        from vixml.params.model import BackboneParams
        from vixml.serving.encoder import ItemEncoder

        model, tokenizer = open_model(self.folder / "model")
        backbone = BackboneParams(**read_json(self.folder / "model" / "model.json")["backbone"])
        settings = self.settings
        return ItemEncoder(
            model.to(resolve_device(device)),
            tokenizer,
            backbone,
            vision=settings.vision,
            vision_seed=settings.vision_seed,
            max_images=settings.max_images,
            precision=precision,
            short_dim=settings.retrieval.dim,
        )

    def _prior(self) -> NDArray[np.float32] | None:
        from vixml.retrieval.augmentation import label_prior

        retrieval = self.settings.retrieval
        if not retrieval.imageless_prior or self.settings.vision is None:
            return None
        return label_prior(self.labels["frequency"].to_numpy(), retrieval)

    def _need_train_queries(self) -> None:
        if not self.has_train_queries:
            raise StateError(
                "the bundle holds no training queries",
                file=self.folder,
                remedy="set retrieval.train_queries: true and run the variant's `evaluation` pipeline again.",
            )

    def _array(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return array

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.folder / name)


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
            "the image bank does not tell how it was made",
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
        evidence: Published evidence, for the ranking of that name.

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
    write_json(folder / "settings.json", settings.model_dump(mode="json"))
    same = {name: getattr(settings, name) for name in ("dataset", "variant")}
    return Built(folder, KIND, {**same, "labels": num_labels, "model": model, **facts})


def link_tree(source: Path, target: Path, sealed: SealedDirectory) -> None:
    """Link the files of a published directory that lie in its folder `source` (all, or those of a sub-folder)."""
    for file in (sealed.path / name for name in sealed.files):
        if file.is_relative_to(source):
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            link(file, copy)
