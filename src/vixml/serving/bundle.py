"""The predictor bundle: one sealed directory with everything that a prediction needs.

    settings.json            data set, variant, retrieval settings, vision encoder (`BundleSettings`)
    model/                   the trained model (weights, configuration, tokenizer)
    labels.parquet           uid, text, images, trained_row (row in the model's label table), frequency (training
                             queries); -1 and 0 for a label added later
    label_texts.npy          embeddings of the labels' text and images float32 [L, d]
    label_prototypes.npy     what queries are compared with float32 [L, d]
    index/                   the label index; further indexes of a blended ranking in sub-folders
    evidence/                calibration.json: from scores to probabilities; for a ranking with all evidence also maps,
                             training queries in all feature spaces, classifiers and weights
    train_items.parquet      uid, text, images of the training queries      ) only where the embeddings of the
    train_queries.npy        their embeddings float16 [N, d]                ) training queries were published
    train_relevance.npz      their labels, CSR [N, L]                       ) (retrieval.train_queries)

Large files are hard links to the published directories they come from: no second copy on disk. That is safe because a
published file is never changed in place, only replaced as a whole, and a link keeps its content alive then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.calibration.calibration import Calibrated, open_calibration
from vixml.core.directories import (
    MANIFEST,
    SealedDirectory,
    is_sealed,
    open_sealed,
)
from vixml.core.errors import StateError, VixmlError
from vixml.core.files import stamp_of
from vixml.core.guards.untrusted import (
    REMEDY,
    HeldTable,
    open_array,
    opening,
    read_document,
    read_sparse,
)
from vixml.serving.bundle_parts import (
    EVIDENCE,
    KIND,
    SETTINGS,
    TRAIN_FILES,
    BundleSettings,
    build_bundle,
    bundle_settings,
    finish_bundle,
    link_tree,
)
from vixml.serving.contents import ITEM_COLUMNS, LABEL_COLUMNS, check_complete, read_items

if TYPE_CHECKING:
    import pandas as pd

    from vixml.ranking.evidence import EvidenceRanker
    from vixml.retrieval.augmentation import Ranker
    from vixml.serving.encoder import ItemEncoder

__all__ = [
    "EVIDENCE",
    "KIND",
    "TRAIN_FILES",
    "BundleSettings",
    "PredictorBundle",
    "build_bundle",
    "bundle_settings",
    "finish_bundle",
    "link_tree",
]

T = TypeVar("T")

_ATTEMPTS = 3
_LABELS = "labels.parquet"


@dataclass(frozen=True)
class PredictorBundle:
    """Read-only view of a bundle. What it gives out was read or held open when it was opened, and fits together.

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
            StateError: No complete bundle is there; or a file of it is missing, torn, malformed, or does not fit the
                others.
        """
        return cls.open_whole(folder, lambda bundle: bundle)

    @classmethod
    def open_whole(cls, folder: str | Path, read: Callable[[PredictorBundle], T]) -> T:
        """Return what `read` reads of a bundle, all of it of the same one: where it is replaced meanwhile, once more.

        Raises:
            StateError: See `open`; or it is replaced again and again.
        """
        folder = Path(folder)
        for _ in range(_ATTEMPTS):
            place = folder / KIND if not is_sealed(folder) and is_sealed(folder / KIND) else folder
            before = _stamp(place)
            try:
                bundle = cls._open(place)
                found = read(bundle)
            except (VixmlError, OSError):
                if before is None or _stamp(place) == before:
                    raise
                continue
            if not bundle.replaced:
                return found
        raise StateError(
            "the predictor was replaced again and again while it was opened", file=folder, remedy="try again."
        )

    @classmethod
    def _open(cls, folder: Path) -> PredictorBundle:
        sealed = open_sealed(folder, kind=KIND)
        check_complete(sealed)
        document = read_document(folder / SETTINGS)
        with opening(folder / SETTINGS):
            settings = BundleSettings.model_validate(document)
        bundle = cls(sealed, settings)
        bundle._hold()
        return bundle

    def _hold(self) -> None:
        """Read the labels, open all other files, and compare their sizes."""
        labels, width = self.label_prototypes.shape
        if self.label_texts.shape != (labels, width) or len(self.labels) != labels:
            raise StateError(
                "the files of the predictor are not of the same labels",
                file=self.folder,
                found=f"{len(self.labels)} labels, texts {self.label_texts.shape}, prototypes {(labels, width)}",
                remedy=REMEDY,
            )
        if self.has_train_queries:
            queries = self.train_queries
            if queries.shape[1] != width:
                found = f"{queries.shape[1]} numbers, labels have {width}"
                raise StateError("the training queries are of another width", file=self.folder, found=found)
            _ = self._train_table
            _ = self.train_relevance
        _ = self.calibration

    @property
    def replaced(self) -> bool:
        """Whether its folder holds another predictor by now."""
        return self.sealed.replaced

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.sealed.path

    @property
    def picture_roots(self) -> tuple[Path | None, ...]:
        """Resolved folders that its pictures are shown from: of relative paths, if known, then of labels added later.

        What a predictor from elsewhere says counts for nothing, nor does a folder that holds the predictor itself.
        """
        wanted = (self.settings.image_root, *self.settings.added_roots)
        place = self.folder.resolve()

        def allowed(root: str | None) -> Path | None:
            if root is None or not self.sealed.made_here:
                return None
            with suppress(OSError, RuntimeError, ValueError):
                path = Path(root).resolve()
                return None if place.is_relative_to(path) or Path.home().is_relative_to(path) else path
            return None

        first, *added = map(allowed, wanted)
        return (first, *filter(None, added))

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The labels: uid, text, images (lists of paths relative to `settings.image_root`), trained_row, frequency."""
        file = self.folder / _LABELS
        labels = self._table(_LABELS)
        # bundles of earlier versions have no frequencies, and no prior that asks for them
        labels = labels if "frequency" in labels else labels.assign(frequency=0)
        if (labels[["trained_row", "frequency"]] < (-1, 0)).to_numpy().any():
            raise StateError("a row or frequency is negative", file=file, remedy=REMEDY)
        return labels

    @cached_property
    def label_prototypes(self) -> NDArray[np.float32]:
        """What queries are compared with float32 [L, d]."""
        return self._array("label_prototypes.npy")

    @cached_property
    def label_texts(self) -> NDArray[np.float32]:
        """Embeddings of the labels' text and images float32 [L, d]."""
        return self._array("label_texts.npy")

    @cached_property
    def calibration(self) -> Calibrated:
        """From scores to probabilities, or why there are none."""
        return open_calibration(self.folder / EVIDENCE)

    @property
    def has_train_queries(self) -> bool:
        """Whether the training queries are there: for the blended rankings and for explanations."""
        return all(name in self.sealed.files for name in TRAIN_FILES)

    @cached_property
    def train_items(self) -> pd.DataFrame:
        """The training queries: uid, text, images; read at first use from the file that was opened."""
        self._need_train_queries()
        return self._table(TRAIN_FILES[0])

    @cached_property
    def _train_table(self) -> HeldTable:
        return HeldTable(self.folder / TRAIN_FILES[0], ITEM_COLUMNS, rows=len(self.train_queries))

    @cached_property
    def train_queries(self) -> NDArray[np.float16]:
        """Embeddings of the training queries float16 [N, d]."""
        self._need_train_queries()
        return self._array("train_queries.npy")

    @cached_property
    def train_relevance(self) -> sp.csr_matrix:
        """Labels of the training queries, CSR [N, L]."""
        self._need_train_queries()
        shape = (len(self.train_queries), len(self.label_prototypes))
        return read_sparse(self.folder / TRAIN_FILES[2], shape=shape)

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
        for name, index in (("", ranker.labels), ("texts", ranker.texts)):
            if index is not None and (index.size, index.dim) != self.label_prototypes.shape:
                raise StateError(
                    "the index is not of these labels",
                    file=self.folder / "index" / name,
                    found=f"{index.size} vectors of {index.dim} numbers",
                    expected=f"{self.label_prototypes.shape}",
                    remedy=REMEDY,
                )
        if ranker.mode != "evidence":
            return ranker
        from vixml.ranking.store import open_evidence

        evidence = open_evidence(self.folder / EVIDENCE, prototypes=ranker.labels, texts=ranker.texts)
        if evidence.side.relevance.shape[1] != len(self.labels):
            found = f"{evidence.side.relevance.shape[1]} labels of {len(self.labels)}"
            raise StateError("the evidence is not of these labels", file=self.folder / EVIDENCE, found=found)
        return evidence

    def encoder(self, *, device: str = "auto", precision: str = "fp32") -> ItemEncoder:
        """Load the network and return what embeds new items.

        Nothing is fetched, whatever the settings name: a vision encoder that is not on this machine is an error.

        Args:
            device: Where the network runs.
            precision: See `ItemEncoder`.
        """
        from vixml.models.build import open_model
        from vixml.models.device import resolve_device
        from vixml.models.precision import to_device
        from vixml.params.model import BackboneParams
        from vixml.serving.encoder import ItemEncoder

        model, tokenizer = open_model(self.folder / "model")
        backbone = BackboneParams(**read_document(self.folder / "model" / "model.json")["backbone"])
        settings = self.settings
        encoder = ItemEncoder(
            to_device(model, resolve_device(device), precision),
            tokenizer,
            backbone,
            vision=settings.vision,
            vision_seed=settings.vision_seed,
            max_images=settings.max_images,
            precision=precision,
            short_dim=settings.retrieval.dim,
        )
        with opening(
            self.folder / "model", "the model cannot embed a text"
        ):  # an embedding of ids beyond its table ...
            width = encoder.embed(["a " * backbone.max_length]).shape[1]
        if width != self.label_prototypes.shape[1]:
            raise StateError(
                "the model is of another width than its labels",
                file=self.folder / "model",
                found=f"{width}, labels {self.label_prototypes.shape[1]}",
                remedy=REMEDY,
            )
        return encoder

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
        return open_array(self.folder / name, shape=(None, None), finite=None if self.sealed.made_here else True)

    def _table(self, name: str) -> pd.DataFrame:
        file = self.folder / name
        if name != _LABELS:
            return read_items(self._train_table, file)
        table = HeldTable(file, {**ITEM_COLUMNS, **LABEL_COLUMNS}, rows=len(self.label_prototypes))
        return read_items(table, file, ("trained_row",))


def _stamp(folder: Path) -> list[int] | None:
    """Return what changes when a folder is replaced; None where there is none."""
    with suppress(OSError):
        return stamp_of(folder / MANIFEST)
    return None
