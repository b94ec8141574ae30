"""The stages of a variant, from items to embeddings. Each reads published directories and builds one."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vixml.classifier.label_vectors import fit_label_vectors
from vixml.core.directories import Built, SealedDirectory, WorkDirectory
from vixml.data.items import items_fingerprint
from vixml.data.sides import Side
from vixml.data.tokens import TokenStore, build_tokens
from vixml.distributed import group
from vixml.models.build import load_trained_state, model_spec, open_model, save_model
from vixml.models.device import resolve_device
from vixml.models.dual import DualModel
from vixml.models.precision import to_device
from vixml.models.text.tokenizer import make_tokenizer
from vixml.negatives.centroids import update_centroids
from vixml.params.model import BackboneParams
from vixml.params.training import Resume
from vixml.training.checkpoint import CHECKPOINTS, newest_checkpoint, read_state, save_checkpoint, write_state
from vixml.training.encode import Vectors, embed_all, embed_labels, embedded, embedded_labels
from vixml.training.identity import TRAINED_WITH, check_same_model, trained_with
from vixml.training.initialise import initialise
from vixml.training.loop import Trainer
from vixml.training.refresh import read_exact, refresh_exactly
from vixml.training.state import TrainingState
from vixml.training.training_data import ItemSource, TrainingData
from vixml.training.variant_data import VariantData

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_TEXTS = 8192  # taken out of a table at a time
WARMUP, HARD = "train_warmup", "train_hard"
REFRESH_AGAIN = "run the pipeline `hard_negative_refresh` again (with the same --env and --params)."
WARMUP_AGAIN = "run the pipeline `training` from its first stage again, or add `--params resume=force` to go on."


def tokenise_sides(items: Mapping[str, pd.DataFrame], params: BackboneParams, work: WorkDirectory) -> Built:
    """Tokenise the texts of all sides with the backbone's tokenizer (trained on train and label texts if tiny)."""
    tokenizer = make_tokenizer(params, chain(_texts(items["train"]), _texts(items["label"])))
    return build_tokens(
        {side: _texts(items[side]) for side in Side},
        tokenizer,
        max_length=params.max_length,
        special_tokens=params.family == "encoder",
        work=work,
        meta={"items": {side: items_fingerprint(items[side]) for side in Side}},
    )


def _texts(items: pd.DataFrame) -> Iterator[str]:
    """Yield the texts of items in order, without a Python list of them all."""
    column = items["text"]
    for start in range(0, len(column), _TEXTS):  # going through Arrow's strings one by one takes five times as long
        yield from column.iloc[start : start + _TEXTS].tolist()


def train_warmup(variant: VariantData, work: WorkDirectory, *, resume: Resume = "auto") -> Built:
    """Train on random batches up to the start epoch; return the full training state there.

    The state also stays in the work directory until the hard stage is through: killed anywhere in between, the same
    command continues there instead of training this stage again.

    Args:
        variant: Data and settings.
        work: Folder of the curve and the checkpoints.
        resume: `auto`, `force` or `never`: whether a checkpoint that is there is continued (docs/how-to/resume.md).

    Raises:
        StateError: The checkpoint belongs to other settings or data, and `resume` is `auto`.
        Stopped: A signal asked to stop; the state is saved.
    """
    trainer = make_trainer(variant, work)
    checkpoints, start_epoch = trainer.checkpoints, variant.params.batching.start_epoch
    if resume == "never":
        _begin_anew(checkpoints)
    checkpoint = _newest_checkpoint(checkpoints / WARMUP)
    if checkpoint is None:
        initialise(trainer.state.model, variant, trainer.data, work.path)
    else:
        read_state(trainer.state, checkpoint, resume=resume)
        _say_where(trainer, WARMUP)
    if trainer.state.epoch < start_epoch or _newest_checkpoint(checkpoints / HARD) is None:
        if group.leads():
            shutil.rmtree(checkpoints / HARD, ignore_errors=True)
        trainer.curve.rewind(trainer.state.step)
    trainer.fit(start_epoch, desc=WARMUP)

    def write() -> Built:
        save_checkpoint(trainer.state, checkpoints / WARMUP, keep=variant.params.training.keep_checkpoints)
        return write_state(trainer.state, work.fresh("warmup"))

    return _by_leader(write)


def refresh_hard_negatives(
    variant: VariantData, warmup: SealedDirectory, work: WorkDirectory
) -> tuple[Built, dict[str, Any]]:
    """Re-embed all training queries and labels exactly, cluster the queries and mine hard negative labels.

    Returns:
        Queries float16 [N, d], clusters, labels int32 [m, k] mined for the monitored queries (where batches draw from
        mined labels also those of all queries, and what was left out as nearly the same); and the report: what
        `negatives_report` and `clusters_report` say, with `step`, `epoch` and `seconds`.
    """
    from safetensors.torch import load_file

    started = time.perf_counter()
    model, weights = variant.new_model(), warmup.path / "weights.safetensors"
    load_trained_state(model, load_file(str(weights)), weights)
    folder = _fresh(work, "hard_negatives")
    measured = refresh_exactly(model, variant.training_data(), variant.params, seed=variant.seed, folder=folder)
    report = {
        "step": warmup.meta["step"],
        "epoch": warmup.meta["epoch"],
        **measured,
        "seconds": round(time.perf_counter() - started, 3),
    }
    return Built(folder, "hard-negatives", report), report


def train_hard(
    variant: VariantData,
    warmup: SealedDirectory,
    hard_negatives: SealedDirectory,
    work: WorkDirectory,
    *,
    resume: Resume = "auto",
) -> tuple[Built, list[dict[str, Any]], list[dict[str, Any]]]:
    """Train on clustered batches to the last epoch; compute exact centroids, and fit the prototypes to them (PRIME).

    Args:
        variant: Data and settings.
        warmup: State after the first stage.
        hard_negatives: Exact embeddings, clusters and mined labels.
        work: Folder of the curve and the checkpoints.
        resume: As in `train_warmup`.

    Returns:
        The model, its curve, and a record of every refresh: the exact one, then those inside this stage.

    Raises:
        StateError: The state belongs to other settings or data, and `resume` is `auto`.
        Stopped: A signal asked to stop; the state is saved.
    """
    trainer = make_trainer(variant, work)
    if resume == "never":
        _begin_anew(trainer.checkpoints / HARD)
    _begin_or_continue_hard(trainer, warmup.path, hard_negatives.path, resume)
    state, data = trainer.state, trainer.data
    trainer.curve.rewind(state.step)
    trainer.refreshes.rewind(state.step - 1)  # the one right before this step is done again
    trainer.fit(variant.params.training.epochs, desc=HARD)
    trained = variant.params.training.epochs > variant.params.batching.start_epoch
    if state.model.label_side.centroids is not None and trained:  # else those of the exact refresh are exact still
        precision, file = variant.params.optim.precision, work.path / "exact_queries.npy"
        with embedded(state.model, data.queries, file, precision=precision, desc="exact centroids") as exact:
            update_centroids(state.model, exact, data.relevance)
            _fit_prototypes(state.model, variant, data, exact, work)
    elif state.model.label_side.offsets is not None:
        _fit_prototypes(state.model, variant, data, state.bank.cpu().numpy(), work)
    built = _by_leader(lambda: _save_trained(state, variant, work.fresh("model")))
    return built, trainer.curve.records(), [dict(hard_negatives.meta), *trainer.refreshes.records()]


def _fit_prototypes(
    model: DualModel, variant: VariantData, data: TrainingData, queries: Vectors, work: WorkDirectory
) -> None:
    """Move the prototypes to where the embeddings of the training queries [N, d] want them, if the settings say so."""
    side, params = model.label_side, variant.params
    if side.offsets is None or params.model.prototype.fit is None:
        return
    precision = params.optim.precision
    with embedded_labels(model, data.labels, work.path, precision=precision, desc="labels to fit") as (_, start):
        fitted = fit_label_vectors(
            queries, data.relevance, start, params.model.prototype.fit, seed=variant.seed, device=model.device
        )
        side.offsets.copy_(torch.from_numpy(fitted - start))


def _say_where(trainer: Trainer, stage: str) -> None:
    if group.leads():
        epochs = trainer.params.training.epochs
        log.info(
            "%s continues after step %d, in epoch %d of %d.", stage, trainer.state.step, trainer.state.epoch + 1, epochs
        )


def make_trainer(variant: VariantData, work: WorkDirectory) -> Trainer:
    """Return a trainer at step 0."""
    model, data = variant.begin()
    return Trainer(model, data, variant.params, seed=variant.seed, work=work.path, identity=variant.identity)


def _by_leader(build: Callable[[], Built]) -> Built:
    """Return what one of several ranks builds while the others wait."""

    def facts() -> tuple[str, str, dict[str, Any]]:
        built = build()
        return str(built.path), built.kind, dict(built.meta)

    path, kind, meta = group.decided(facts)
    return Built(Path(path), kind, meta)


def _fresh(work: WorkDirectory, name: str) -> Path:
    """Return a folder that one of several ranks has emptied."""
    return Path(group.decided(lambda: str(work.fresh(name))))


def _newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that one of several ranks has found whole."""

    def find() -> str | None:
        found = newest_checkpoint(folder)
        return None if found is None else str(found)

    found = group.decided(find)
    return None if found is None else Path(found)


def _save_trained(state: TrainingState, variant: VariantData, folder: Path) -> Built:
    """Write the trained model, and what it cost and was trained with."""
    params, model, bank = variant.params, state.model, variant.bank
    spec = model_spec(
        params.backbone,
        params.model,
        image_dim=None if bank is None else bank.dim,
        num_labels=model.num_labels,
        chunk_tokens=params.batching.chunk_tokens,
        label_side=params.objective.label_side,
    )
    save_model(model, folder, spec=spec, tokenizer_folder=TokenStore.open(variant.tokens).tokenizer_folder)
    meta = {
        "epochs": state.epoch,
        "steps": state.step,
        "training_seconds": round(state.seconds, 3),
        "peak_memory_bytes": state.peak_memory_bytes,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "trained_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "device": str(model.device),
        "fingerprint": state.fingerprint,
        TRAINED_WITH: trained_with(params),
        "teacher": None if variant.soft_labels is None else variant.soft_labels.meta["teacher"],
    }
    return Built(folder, "model", meta)


def _begin_or_continue_hard(trainer: Trainer, warmup: Path, hard_negatives: Path, resume: Resume) -> None:
    """Put into `trainer` the newest state of the hard stage, or that after the warm-up with what the refresh made."""
    state, draws_mined = trainer.state, trainer.params.batching.mined_per_query > 0
    refreshed = read_exact(hard_negatives, mined=draws_mined, remedy=REFRESH_AGAIN)
    state.mined = refreshed.mined
    checkpoint = _newest_checkpoint(trainer.checkpoints / HARD)
    if checkpoint is not None:
        read_state(state, checkpoint, resume=resume)
        _say_where(trainer, HARD)
        return
    read_state(state, warmup, resume=resume, remedy=WARMUP_AGAIN)
    state.clusters, state.monitored = refreshed.clusters, refreshed.monitored
    state.set_bank(refreshed.queries)
    update_centroids(state.model, state.bank, trainer.data.relevance)


def _begin_anew(checkpoints: Path) -> None:
    """Remove checkpoints; whoever types the same command after a kill would lose the next ones too, so say it."""
    if group.leads() and checkpoints.exists():
        shutil.rmtree(checkpoints)
        log.warning(
            "Removed %s, because of `resume=never`. Leave that out of the next command, or it starts over again.",
            checkpoints,
        )


def clear_checkpoints(work: WorkDirectory) -> None:
    """Remove the checkpoints of a variant whose model is published."""
    shutil.rmtree(work.path / CHECKPOINTS, ignore_errors=True)


def embed_test_and_labels(variant: VariantData, model: SealedDirectory, work: WorkDirectory) -> Built:
    """Embed the test queries, and the labels as prototypes, with the trained model.

    Where the retrieval settings ask for them also the training queries (float16), and the validation queries that the
    weights of all evidence and the probabilities are fitted on.

    Raises:
        StateError: The model was trained with other settings.
    """
    check_same_model(model, variant.params)
    dual, _ = open_model(model.path)
    params, retrieval, folder = variant.params, variant.params.retrieval, _fresh(work, "embeddings")
    to_device(dual, resolve_device(params.training.device), params.optim.precision)

    def embed(name: str, source: ItemSource, what: str, dtype: type[np.floating] = np.float32) -> None:
        file, precision = folder / f"{name}.npy", params.optim.precision
        embed_all(dual, source, precision=precision, desc=f"embed {what}", into=file, dtype=dtype, dim=retrieval.dim)

    started = time.perf_counter()
    asked = variant.source("test")
    asked = asked if variant.evaluation.query_images else asked.without_images()
    embed("test_queries", asked, "test queries")
    seconds = time.perf_counter() - started
    precision, dim = params.optim.precision, retrieval.dim
    embed_labels(
        dual, variant.source("label"), precision=precision, desc="embed labels", into=folder, dtype=np.float32, dim=dim
    )
    if retrieval.train_queries or retrieval.augmentation.mode != "none":
        embed("train_queries", variant.source("train"), "training queries", np.float16)
    fitted = retrieval.augmentation.mode == "evidence" or retrieval.calibration is not None
    if fitted and variant.relevance_validation.shape[0]:
        embed("validation_queries", variant.source("validation"), "validation queries")
    meta = {"dim": dim or dual.embedder.dim, "milliseconds_per_query": 1000 * seconds / max(1, len(asked))}

    def finish() -> Built:
        if asked.image_rows is not None:
            np.save(folder / "test_imageless.npy", asked.image_rows.lengths == 0, allow_pickle=False)
        return Built(folder, "embeddings", meta)

    return _by_leader(finish)
