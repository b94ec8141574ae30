"""What every stage of a variant reads; from it come the model, the sources of items and the data of a training."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

from vixml.core.directories import SealedDirectory
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.core.provenance import flatten, library_versions
from vixml.data.dataset import Dataset
from vixml.data.soft_labels import read_soft_labels
from vixml.data.tokens import TokenStore
from vixml.images.bank import ImageBank
from vixml.metrics.propensity import label_weights
from vixml.models.build import COMBINER_INPUT, build_model
from vixml.models.device import resolve_device
from vixml.models.precision import stores_half, to_device
from vixml.models.text.tokenizer import load_saved_tokenizer
from vixml.params.evaluation import EvaluationParams
from vixml.params.speed import result_settings
from vixml.params.variant import VariantParams
from vixml.training.identity import LIBRARIES
from vixml.training.training_data import ItemSource, TrainingData, Validation

if TYPE_CHECKING:
    from vixml.models.dual import DualModel

log = logging.getLogger(__name__)

_TRAINED_BY = ("backbone", "model", "objective", "batching", "optim", "training")
"""Groups of settings that the trained weights depend on, but for those that only change the speed."""


@dataclass(frozen=True)
class VariantData:
    """What every stage of a variant reads.

    Args:
        params: Settings of the variant.
        evaluation: Propensity model and metric depths.
        seed: Root seed.
        tokens: Published tokens.
        image_bank: Published image bank; None for a text variant.
        relevance_train: Relevance of the training queries [N, L].
        relevance_validation: Relevance of the validation queries [n, L]; n = 0 for none.
        filter_validation: Pairs left out of their predictions [n, L].
        soft_labels: A teacher's soft labels of the training queries; None without a teacher.
        dataset: The data set that the matrices come from, which other processes read too.
    """

    params: VariantParams
    evaluation: EvaluationParams
    seed: int
    tokens: SealedDirectory
    image_bank: SealedDirectory | None
    relevance_train: sp.csr_matrix
    relevance_validation: sp.csr_matrix
    filter_validation: sp.csr_matrix
    soft_labels: SealedDirectory | None = None
    dataset: Dataset | None = None

    @classmethod
    def of(
        cls,
        params: VariantParams,
        dataset: Dataset,
        tokens: SealedDirectory,
        image_bank: SealedDirectory | None,
        *,
        evaluation: EvaluationParams,
        seed: int,
        soft_labels: SealedDirectory | None = None,
    ) -> VariantData:
        """Bundle what the stages of a variant read, with the matrices of an ingested data set."""
        train, validation = (dataset.relevance(split) for split in ("train", "validation"))
        held_out = dataset.filter("validation")
        return cls(params, evaluation, seed, tokens, image_bank, train, validation, held_out, soft_labels, dataset)

    def __post_init__(self) -> None:
        if self.params.model.uses_images and self.image_bank is None:
            raise ConfigError(
                "a text-only variant was told to use images",
                found="model.use_images: true without an image bank",
                remedy="set model.use_images to false, or train a vision variant.",
            )
        self._check_sides()

    def _check_sides(self) -> None:
        """Tokens, image bank and relevance must stem from one ingestion: rows are joined by position."""
        for side, matrix in (("train", self.relevance_train), ("validation", self.relevance_validation)):
            if self.tokens.meta[side]["texts"] != matrix.shape[0]:
                raise StateError(
                    "the tokens belong to other items than the relevance",
                    file=self.tokens.path,
                    found=f"{self.tokens.meta[side]['texts']} texts of side {side}",
                    expected=str(matrix.shape[0]),
                    remedy="run the variant's pipeline from its first stage again.",
                )
        soft = self.soft_labels
        if soft is not None and any(
            self.tokens.meta["items"][side] != found for side, found in soft.meta["items"].items()
        ):
            raise StateError(
                "the soft labels belong to other items than the tokens",
                file=soft.path,
                remedy="run `kedro run --pipeline=teaching` again: the data have been ingested again since.",
            )
        if self.image_bank is None or not self.params.model.uses_images:
            return
        if self.image_bank.meta["items"] != self.tokens.meta["items"]:
            raise StateError(
                "the image bank belongs to other items than the tokens",
                file=self.image_bank.path,
                remedy="run `kedro run --pipelines=image_embedding` again: the data have been ingested again since.",
            )
        if not len(ImageBank.open(self.image_bank.path).vectors):
            log.warning("No item has an image: a vision variant then reads text only.")

    @property
    def bank(self) -> ImageBank | None:
        """The image bank if the variant looks at images."""
        if self.image_bank is None or not self.params.model.uses_images:
            return None
        return ImageBank.open(self.image_bank.path)

    @property
    def identity(self) -> dict[str, Any]:
        """What the numbers of a training depend on, by dotted names; a checkpoint of another one is not continued."""
        import torch

        relevance, soft = self.relevance_train, self.soft_labels
        settings = result_settings(self.params)
        if not self.params.training.max_epoch_steps:
            del settings["training"]["max_epoch_steps"]  # has no effect
        if soft is None:
            del settings["objective"]["distillation"]  # has no effect
        return {
            **flatten({name: settings[name] for name in _TRAINED_BY}, "params"),
            "model.combiner_input": COMBINER_INPUT if self.params.objective.label_side == "prototype" else None,
            "evaluation.propensity_a": self.evaluation.propensity_a,
            "evaluation.propensity_b": self.evaluation.propensity_b,
            "seed": self.seed,
            "data.tokens": self.tokens.fingerprint,
            "data.images": None if self.image_bank is None else self.image_bank.fingerprint,
            **({} if soft is None else {"data.soft_labels": soft.fingerprint}),
            "data.relevance": hashlib.sha256(relevance.indptr.tobytes() + relevance.indices.tobytes()).hexdigest(),
            **flatten({"versions": {**library_versions(LIBRARIES), "threads": torch.get_num_threads()}}),
        }

    def source(self, side: str) -> ItemSource:
        """Tokens and images of one side."""
        return ItemSource.open(side, TokenStore.open(self.tokens), self.bank, max_images=self.params.model.max_images)

    def new_model(self) -> DualModel:
        """The untrained model on the run's device."""
        bank, precision = self.bank, self.params.optim.precision
        device = resolve_device(self.params.training.device)
        model = build_model(
            self.params.backbone,
            self.params.model,
            tokenizer=load_saved_tokenizer(TokenStore.open(self.tokens).tokenizer_folder),
            image_dim=None if bank is None else bank.dim,
            num_labels=self.relevance_train.shape[1],
            chunk_tokens=self.params.batching.chunk_tokens,
            label_side=self.params.objective.label_side,
            seed=self.seed,
            half=stores_half(device, precision),
        )
        return to_device(model, device, precision)

    def begin(self) -> tuple[DualModel, TrainingData]:
        """The untrained model on the run's device, and what it is trained on."""
        return self.new_model(), self.training_data()

    def training_data(self) -> TrainingData:
        """What a training reads.

        Raises:
            DataError: No training query has a label.
        """
        if not self.relevance_train.nnz:
            raise DataError(
                "no training query has a label, so there is nothing to learn",
                expected="training points with entries in target_ind",
                remedy="see `points_without_labels` in data_report.json, correct the raw files, run ingestion again.",
            )
        weights = label_weights(self.relevance_train, self.evaluation)
        validation = None
        if self.relevance_validation.shape[0]:
            ks = tuple(k for k in self.evaluation.ks if k <= 10) or (self.evaluation.ks[0],)
            validation = Validation(
                self.source("validation"), self.relevance_validation, self.filter_validation, weights, ks
            )
        relevance = self.relevance_train
        soft = None if self.soft_labels is None else read_soft_labels(self.soft_labels, relevance)
        return TrainingData(self.source("train"), self.source("label"), relevance, weights, validation, soft)
