"""The stages of a variant, from items to embeddings. Each reads published directories and builds one."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.core.fingerprint import fingerprint_json
from vixml.core.seeding import torch_generator
from vixml.data.image_bank import ImageBank
from vixml.data.items import items_fingerprint
from vixml.data.tokens import TokenStore, build_tokens
from vixml.evaluation.propensity import inverse_propensity
from vixml.models.build import build_model, load_trained_state, model_spec, open_model, save_model
from vixml.models.device import resolve_device
from vixml.models.projection import whiten_projection
from vixml.models.tokenizer import load_saved_tokenizer, make_tokenizer
from vixml.negatives.centroids import label_centroids
from vixml.negatives.clustering import balanced_clusters
from vixml.negatives.mining import mine_labels, refresh_report
from vixml.params.evaluation import EvaluationParams
from vixml.params.model import BackboneParams
from vixml.params.variant import VariantParams
from vixml.training.checkpoint import newest_checkpoint, read_state, save_checkpoint, write_state
from vixml.training.encode import embed_all, label_prototypes
from vixml.training.inputs import ItemSource
from vixml.training.loop import Trainer, TrainingInputs, make_clusters
from vixml.training.validation import Validation

if TYPE_CHECKING:
    import pandas as pd

    from vixml.models.dual import DualModel

log = logging.getLogger(__name__)

SIDES = ("train", "validation", "test", "label")
WARMUP, HARD = "train_warmup", "train_hard"
_SPEED_ONLY: Any = {
    "retrieval": True,
    "batching": {"chunk_tokens": True},
    "training": {"device": True, "checkpoint_every": True, "validate_every": True},
}


@dataclass(frozen=True)
class StageInputs:
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
    """

    params: VariantParams
    evaluation: EvaluationParams
    seed: int
    tokens: SealedDirectory
    image_bank: SealedDirectory | None
    relevance_train: sp.csr_matrix
    relevance_validation: sp.csr_matrix
    filter_validation: sp.csr_matrix

    def __post_init__(self) -> None:
        if self.params.model.use_images and self.image_bank is None:
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
        if self.image_bank is None or not self.params.model.use_images:
            return
        if self.image_bank.meta["items"] != self.tokens.meta["items"]:
            raise StateError(
                "the image bank belongs to other items than the tokens",
                file=self.image_bank.path,
                remedy="run `kedro run --pipelines=image_embedding` again: the data were ingested anew since.",
            )
        if not len(ImageBank.open(self.image_bank.path).vectors):
            log.warning("There is no image at all: a vision variant is the text-only one here.")

    @property
    def bank(self) -> ImageBank | None:
        """The image bank if the variant looks at images."""
        if self.image_bank is None or not self.params.model.use_images:
            return None
        return ImageBank.open(self.image_bank.path)

    @property
    def fingerprint(self) -> str:
        """Identity of data and settings: a checkpoint of another fingerprint is never continued."""
        relevance = self.relevance_train
        return fingerprint_json(
            {
                "params": self.params.model_dump(mode="json", exclude=_SPEED_ONLY),
                "propensity": [self.evaluation.propensity_a, self.evaluation.propensity_b],
                "seed": self.seed,
                "tokens": self.tokens.fingerprint,
                "images": None if self.image_bank is None else self.image_bank.fingerprint,
                "relevance": hashlib.sha256(relevance.indptr.tobytes() + relevance.indices.tobytes()).hexdigest(),
            }
        )

    def source(self, side: str) -> ItemSource:
        """Tokens and images of one side."""
        return ItemSource.open(side, TokenStore.open(self.tokens), self.bank, max_images=self.params.model.max_images)

    def new_model(self) -> DualModel:
        """The untrained model on the run's device."""
        bank = self.bank
        model = build_model(
            self.params.backbone,
            self.params.model,
            tokenizer=load_saved_tokenizer(TokenStore.open(self.tokens).tokenizer_folder),
            image_dim=None if bank is None else bank.dim,
            num_labels=self.relevance_train.shape[1],
            chunk_tokens=self.params.batching.chunk_tokens,
            seed=self.seed,
        )
        return model.to(resolve_device(self.params.training.device))

    def trainer(self, work: WorkDirectory) -> Trainer:
        """A trainer at step 0."""
        if not self.relevance_train.nnz:
            raise DataError("no training query has a label, so there is nothing to learn")
        frequencies = np.diff(self.relevance_train.tocsc().indptr)
        weights = inverse_propensity(
            frequencies, self.relevance_train.shape[0], self.evaluation.propensity_a, self.evaluation.propensity_b
        )
        validation = None
        if self.relevance_validation.shape[0]:
            ks = tuple(k for k in self.evaluation.ks if k <= 10) or (self.evaluation.ks[0],)
            validation = Validation(
                self.source("validation"), self.relevance_validation, self.filter_validation, weights, ks
            )
        inputs = TrainingInputs(self.source("train"), self.source("label"), self.relevance_train, weights, validation)
        return Trainer(
            self.new_model(), inputs, self.params, seed=self.seed, work=work.path, fingerprint=self.fingerprint
        )


def tokenise_sides(items: Mapping[str, pd.DataFrame], params: BackboneParams, work: WorkDirectory) -> Built:
    """Tokenise the texts of all sides with the backbone's tokenizer (trained on train and label texts if tiny)."""
    texts = {side: items[side]["text"].tolist() for side in SIDES}
    tokenizer = make_tokenizer(params, [*texts["train"], *texts["label"]])
    return build_tokens(
        texts,
        tokenizer,
        max_length=params.max_length,
        special_tokens=params.family == "encoder",
        work=work,
        meta={"items": {side: items_fingerprint(items[side]) for side in SIDES}},
    )


def train_warmup(inputs: StageInputs, work: WorkDirectory) -> Built:
    """Train on random batches up to the start epoch; return the full training state there.

    The state also stays in the work directory until the hard stage is through: killed anywhere in between, the same
    command continues there instead of training this stage again.
    """
    trainer = inputs.trainer(work)
    checkpoints = trainer.checkpoints
    checkpoint = newest_checkpoint(checkpoints / WARMUP, trainer.fingerprint)
    if checkpoint is None:
        initialise(trainer, inputs)
    else:
        read_state(trainer, checkpoint)
    if newest_checkpoint(checkpoints / HARD, trainer.fingerprint) is None:
        shutil.rmtree(checkpoints / HARD, ignore_errors=True)
        trainer.curve.rewind(trainer.step)
    trainer.fit(inputs.params.batching.start_epoch, desc=WARMUP)
    save_checkpoint(trainer, checkpoints / WARMUP)
    return write_state(trainer, work.fresh("warmup"))


def refresh_hard_negatives(
    inputs: StageInputs, warmup: SealedDirectory, work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Re-embed all training queries and labels exactly, cluster the queries and mine hard negative labels."""
    import torch
    from safetensors.torch import load_file

    params = inputs.params
    model = inputs.new_model()
    weights = warmup.path / "weights.safetensors"
    load_trained_state(model, load_file(str(weights)), weights)
    precision = params.optim.precision
    queries = embed_all(model, inputs.source("train"), precision=precision, desc="refresh queries")
    model.centroids.copy_(torch.from_numpy(label_centroids(queries, inputs.relevance_train)))
    texts = embed_all(model, inputs.source("label"), precision=precision, desc="refresh labels")
    prototypes = label_prototypes(model, texts)
    rows = np.flatnonzero(np.diff(inputs.relevance_train.indptr)).astype(np.int64)
    bank = torch.from_numpy(queries)
    clusters = make_clusters(bank, rows, params.batching.start_epoch, params, inputs.seed, model.device)
    mined, scores = mine_labels(
        queries, prototypes, inputs.relevance_train, count=params.batching.mined_labels, device=str(model.device)
    )
    folder = work.fresh("hard_negatives")
    np.save(folder / "queries.npy", queries.astype(np.float16), allow_pickle=False)
    np.save(folder / "mined_labels.npy", mined.astype(np.int32), allow_pickle=False)
    np.save(folder / "mined_scores.npy", scores.astype(np.float16), allow_pickle=False)
    np.save(folder / "cluster_points.npy", np.concatenate(clusters), allow_pickle=False)
    np.save(folder / "cluster_sizes.npy", np.array([len(c) for c in clusters]), allow_pickle=False)
    report = refresh_report(queries, prototypes, inputs.relevance_train, scores, clusters)
    return Built(folder, "hard-negatives", report), report


def train_hard(
    inputs: StageInputs, warmup: SealedDirectory, hard_negatives: SealedDirectory, work: WorkDirectory
) -> tuple[Built, list[dict[str, Any]]]:
    """Train on clustered batches to the last epoch, compute exact centroids, return the model and its curve."""
    import torch

    trainer = inputs.trainer(work)
    read_state(trainer, warmup.path)
    checkpoint = newest_checkpoint(trainer.checkpoints / HARD, trainer.fingerprint)
    if checkpoint is not None:
        read_state(trainer, checkpoint)
    else:
        folder = hard_negatives.path
        sizes = np.load(folder / "cluster_sizes.npy", allow_pickle=False)
        points = np.load(folder / "cluster_points.npy", allow_pickle=False)
        queries = np.load(folder / "queries.npy", allow_pickle=False)
        trainer.set_bank(queries.astype(np.float32), np.split(points, np.cumsum(sizes)[:-1]))
    if inputs.params.batching.mined_per_query:
        trainer.mined = np.load(hard_negatives.path / "mined_labels.npy", mmap_mode="r", allow_pickle=False)
    trainer.curve.rewind(trainer.step)
    params, model = inputs.params, trainer.model
    trainer.fit(params.training.epochs, desc=HARD)
    queries = embed_all(model, trainer.inputs.queries, precision=params.optim.precision, desc="exact centroids")
    model.centroids.copy_(torch.from_numpy(label_centroids(queries, inputs.relevance_train)))
    folder = work.fresh("model")
    bank = inputs.bank
    save_model(
        model,
        folder,
        spec=model_spec(
            params.backbone,
            params.model,
            image_dim=None if bank is None else bank.dim,
            num_labels=model.num_labels,
            chunk_tokens=params.batching.chunk_tokens,
        ),
        tokenizer_folder=TokenStore.open(inputs.tokens).tokenizer_folder,
    )
    shutil.rmtree(trainer.checkpoints, ignore_errors=True)
    meta = {
        "epochs": trainer.epoch,
        "steps": trainer.step,
        "training_seconds": round(trainer.seconds, 3),
        "peak_memory_bytes": trainer.peak_memory_bytes,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "trained_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "device": str(model.device),
        "fingerprint": trainer.fingerprint,
    }
    return Built(folder, "model", meta), trainer.curve.records()


def embed_test_and_labels(inputs: StageInputs, model: SealedDirectory, work: WorkDirectory) -> Built:
    """Embed the test queries, and the labels as prototypes, with the trained model."""
    import time

    dual, _ = open_model(model.path)
    dual.to(resolve_device(inputs.params.training.device))
    precision = inputs.params.optim.precision
    folder = work.fresh("embeddings")
    started = time.perf_counter()
    queries = embed_all(dual, inputs.source("test"), precision=precision, desc="embed test queries")
    seconds = time.perf_counter() - started
    texts = embed_all(dual, inputs.source("label"), precision=precision, desc="embed labels")
    np.save(folder / "test_queries.npy", queries, allow_pickle=False)
    np.save(folder / "label_texts.npy", texts, allow_pickle=False)
    np.save(folder / "label_prototypes.npy", label_prototypes(dual, texts), allow_pickle=False)
    meta = {"dim": dual.embedder.dim, "milliseconds_per_query": 1000 * seconds / max(1, len(queries))}
    return Built(folder, "embeddings", meta)


def initialise(trainer: Trainer, inputs: StageInputs) -> None:
    """Set the starting point that depends on the data: image projection and free vectors."""
    model, settings, bank = trainer.model, inputs.params.model, inputs.bank
    projection = model.embedder.projection
    if bank is not None and projection is not None and settings.projection_init == "whitened":
        words = model.embedder.backbone.get_input_embeddings().weight.detach()
        rows = np.concatenate([bank.images_of("train").values, bank.images_of("label").values]).astype(np.int64)
        whiten_projection(projection, bank.vectors, rows, word_rms=float(words.float().square().mean().sqrt()))
    if settings.prototype.free_vectors < model.num_labels or settings.prototype.free_init == "cluster_mean":
        share_free_vectors(trainer, settings.prototype.free_init, inputs.seed)


def share_free_vectors(trainer: Trainer, free_init: str, seed: int) -> None:
    """Let labels share free vectors by balanced clustering of their initial embeddings (PRIME, section 3.2)."""
    import torch

    model = trainer.model
    precision = trainer.params.optim.precision
    texts = embed_all(model, trainer.inputs.labels, precision=precision, desc="share free vectors")
    points = torch.from_numpy(texts).to(model.device)
    num_free, num_labels = len(model.free_vectors.weight), model.num_labels
    # Neighbours in the tree's order share a vector: every vector is used, by numbers of labels that differ by one.
    order = torch.cat(balanced_clusters(points, size=1, generator=torch_generator(seed, "free vectors")))
    model.free_of_label[order.to(model.device)] = torch.arange(num_labels, device=model.device) * num_free // num_labels
    if free_init == "cluster_mean":
        sums = torch.zeros_like(model.free_vectors.weight).index_add_(0, model.free_of_label, points)
        with torch.no_grad():
            model.free_vectors.weight.copy_(torch.nn.functional.normalize(sums, dim=-1))
