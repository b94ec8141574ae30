"""The training loop of both stages (ViXML, section 4; PRIME, section 3.3; NGAME batches)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn.functional import normalize

from vixml.core.progress import progress
from vixml.core.provenance import fingerprint_json
from vixml.core.seeding import derive_seed, numpy_generator, torch_generator
from vixml.core.signals import EXIT_STOPPED, Stopped, StopRequest
from vixml.losses.nested import nested_loss
from vixml.losses.objective import LOSSES
from vixml.models.device import send
from vixml.models.dual import DualModel
from vixml.models.item_batch import ItemBatch, concatenate, drop_images
from vixml.models.precision import autocast
from vixml.negatives.batches import cluster_batches, num_batches, random_batches
from vixml.negatives.curriculum import is_clustered, is_reclustered
from vixml.negatives.sampling import PositiveSampler, pool_target
from vixml.negatives.table import MinedTable
from vixml.params.variant import VariantParams
from vixml.training.bank import bank_device, update_centroids
from vixml.training.checkpoint import CHECKPOINTS, save_checkpoint
from vixml.training.curve import Curve, Means
from vixml.training.gradient_cache import CachedEmbeddings
from vixml.training.optimiser import learning_rate_factor, make_optimiser, set_learning_rate
from vixml.training.peak_memory import peak_memory, reset_peak_memory
from vixml.training.refresh import monitored_queries, refresh
from vixml.training.training_inputs import TrainingInputs
from vixml.training.validation import validate

log = logging.getLogger(__name__)

Ints = NDArray[np.int64]
Terms = dict[str, torch.Tensor]


class Trainer:
    """Model, optimiser, embedding bank and clusters of one training; continues where its state says.

    Every random stream is derived from the seed and the step or epoch, so a resumed run draws the same numbers.

    Args:
        model: The model, on its device.
        inputs: Training data.
        params: Settings of the variant.
        seed: Root seed.
        work: Folder of the curve and the checkpoints.
        identity: What the numbers depend on; a checkpoint of another identity is not continued.
    """

    def __init__(
        self,
        model: DualModel,
        inputs: TrainingInputs,
        params: VariantParams,
        *,
        seed: int,
        work: Path,
        identity: Mapping[str, Any],
    ) -> None:
        self.model, self.inputs, self.params, self.seed, self.identity = model, inputs, params, seed, identity
        self.optimiser = make_optimiser(model, params.optim)
        # A query without labels has no positive to learn from.
        self.rows: Ints = np.flatnonzero(np.diff(inputs.relevance.indptr)).astype(np.int64)
        self.batch_size = min(params.batching.batch_size, len(self.rows))
        self.steps_per_epoch = num_batches(len(self.rows), self.batch_size)
        self.total_steps = params.training.epochs * self.steps_per_epoch
        self.bank = torch.zeros(
            len(inputs.queries),
            model.embedder.dim,
            dtype=torch.float16,
            device=bank_device(len(inputs.queries) * model.embedder.dim * 2, model.device),
        )
        self.clusters: list[Ints] | None = None
        self.mined: MinedTable | None = None
        self.monitored: NDArray[np.integer] | None = None  # labels mined last for the monitored queries
        self.epoch = self.step = 0
        self.seconds = self.epoch_seconds = 0.0
        self.epoch_means, self.recent_means = Means(model.device), Means(model.device)
        reset_peak_memory(model.device)
        self.peak_memory_bytes = 0
        self.curve = Curve(work / "curve.jsonl")
        self.refreshes = Curve(work / "refreshes.jsonl")
        self.checkpoints = work / CHECKPOINTS
        self._sampler = PositiveSampler(inputs.relevance, inputs.inverse_propensity)
        self._clock = self._saved_at = time.perf_counter()

    @property
    def fingerprint(self) -> str:
        """Hash of the identity."""
        return fingerprint_json(dict(self.identity))

    @property
    def step_in_epoch(self) -> int:
        """Steps of the current epoch that are done."""
        return self.step - self.epoch * self.steps_per_epoch

    def fit(self, until: int, *, desc: str) -> None:
        """Train to the start of epoch `until`, checkpointing on the way.

        Args:
            until: Epoch to stop at.
            desc: Name of the stage: of the progress bar and of the folder of its checkpoints.

        Raises:
            Stopped: SIGTERM or SIGINT asked for it; the state is saved.
        """
        self.model.train()
        self._clock = self._saved_at = time.perf_counter()
        total = until * self.steps_per_epoch
        with StopRequest() as stop, progress(desc=desc, total=total, unit="step") as bar:
            bar.skip(self.step)
            while self.epoch < until:
                batches = self.batches()
                with bar.part(f"epoch {self.epoch + 1}/{until}", total=len(batches), done=self.step_in_epoch):
                    while self.step_in_epoch < len(batches):
                        self._take_step(batches[self.step_in_epoch], bar)
                        if self.step_in_epoch < len(batches):  # else the epoch's end comes first
                            self._keep(desc, stop, until)
                self._end_epoch()
                self._keep(desc, stop, until)

    def restart_epoch(self) -> None:
        """Go back to the begin of the current epoch, with the weights as they are."""
        self.step, self.epoch_seconds = self.epoch * self.steps_per_epoch, 0.0
        self.epoch_means, self.recent_means = Means(self.model.device), Means(self.model.device)

    def set_bank(self, embeddings: NDArray[np.float32], clusters: list[Ints], mined: NDArray[np.integer]) -> None:
        """Take over exact embeddings [N, d], the clusters made from them, and the mined labels [N, k]."""
        self.bank.copy_(torch.from_numpy(embeddings))
        self.clusters = clusters
        self.monitored = np.asarray(mined[monitored_queries(self.rows, self.seed)])
        update_centroids(self.model, self.bank, self.inputs.relevance)

    def batches(self) -> list[Ints]:
        """Return the query batches of the current epoch, re-clustering when the curriculum says so."""
        batching = self.params.batching
        rng = numpy_generator(self.seed, "batches", self.epoch)
        if not is_clustered(self.epoch, batching):
            return [self.rows[b] for b in random_batches(len(self.rows), self.batch_size, rng)]
        if self.clusters is None or (self.step_in_epoch <= 0 and is_reclustered(self.epoch, batching)):
            refresh(self)
        assert self.clusters is not None
        return cluster_batches(self.clusters, self.batch_size, rng)

    def _take_step(self, rows: Ints, bar: Any) -> None:
        terms = self._train_step(rows)
        self.epoch_means.add(terms)
        self.recent_means.add({"loss": terms["loss"]})
        bar.update(1)
        every = self.params.training.log_every or max(1, self.steps_per_epoch // 20)
        if self.step_in_epoch % every == 0:
            loss = self.recent_means.take()["loss"]
            self.curve.log(step=self.step, epoch=self.epoch + 1, **{"batch/loss": loss})
            bar.set_postfix(epoch=self.epoch + 1, loss=round(loss, 4))

    def _end_epoch(self) -> None:
        training = self.params.training
        self.epoch += 1
        update_centroids(self.model, self.bank, self.inputs.relevance)
        self._lap()
        speed = len(self.rows) / max(self.epoch_seconds, 1e-9)
        self.curve.log(step=self.step, epoch=self.epoch, **self.epoch_means.take(), queries_per_second=speed)
        self.epoch_seconds = 0.0
        every = training.validate_every
        if every and (self.epoch % every == 0 or self.epoch == training.epochs):
            self._validate()
        self._clock = time.perf_counter()

    def _lap(self) -> None:
        """Add the time since the last look at the clock; validation and checkpoints do not count as training."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self.epoch_seconds += now - self._clock
        self._clock = now
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory(self.model.device))

    def _keep(self, desc: str, stop: StopRequest, until: int) -> None:
        """Save a checkpoint where one is due or a signal asks for it."""
        training = self.params.training
        ended_epoch = self.step_in_epoch == 0
        minutes = (time.perf_counter() - self._saved_at) / 60
        due = 0 < training.checkpoint_minutes <= minutes or (
            ended_epoch and training.checkpoint_every > 0 and self.epoch % training.checkpoint_every == 0
        )
        if stop.received or (due and self.epoch < until):
            if not ended_epoch:
                self._lap()
            saved = self._save(self.checkpoints / desc)
            self._clock = self._saved_at = time.perf_counter()
            if stop.received:
                log.warning(
                    "Stopped by %s after step %d of %s; %s. The same command goes on from there (exit code %d).",
                    stop.received,
                    self.step,
                    desc,
                    "the state is saved" if saved else "the last checkpoint before it is kept",
                    EXIT_STOPPED,
                )
                raise Stopped

    def _save(self, folder: Path) -> bool:
        """Save a checkpoint; where that fails (a full disk, say) the training goes on and tries again later."""
        try:
            save_checkpoint(self, folder)
        except (OSError, SafetensorError) as err:
            log.warning("No checkpoint could be written at step %d (the older one stays): %s", self.step, err)
            return False
        return True

    def _train_step(self, rows: Ints) -> Terms:
        torch.manual_seed(derive_seed(self.seed, "dropout", self.step))
        pool, target, items = self._gather(rows)
        query, text, prototype, cache = self._forward(items, len(rows), pool)
        loss, terms = self._loss(query, text, prototype, target)
        self._backward(loss, cache)
        self._optimise()
        self._remember(rows, query)
        self.step += 1
        return {"loss": loss.detach(), **terms}

    def _gather(self, rows: Ints) -> tuple[torch.Tensor, torch.Tensor, ItemBatch]:
        """Return the pool's label ids [P], the target [B, P], and queries and pooled labels in one batch."""
        pool = self._pool(rows, numpy_generator(self.seed, "step", self.step))
        target = send(pool_target(self.inputs.relevance, rows, pool), self.model.device)
        items = concatenate(self.inputs.queries.batch(rows), self.inputs.labels.batch(pool))
        dropout = self.params.model.image_dropout
        if dropout:
            draws = numpy_generator(self.seed, "image dropout", self.step).random(len(items))
            items = drop_images(items, draws < dropout)
        return send(pool, self.model.device), target, items

    def _forward(
        self, items: ItemBatch, num_queries: int, pool: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, CachedEmbeddings | None]:
        """Return embeddings of the queries [B, d] and labels [P, d], the labels' prototypes [P, d], and the cache."""
        precision, cache = self.params.optim.precision, None
        if self.params.batching.gradient_cache:
            cache = CachedEmbeddings(self.model, items, precision=precision)
        with autocast(precision, self.model.device):
            pooled = self.model.pool(items) if cache is None else cache.embeddings
            unit = normalize(pooled, dim=-1)
            prototypes = self.model.prototypes(pooled[num_queries:], pool)
            return unit[:num_queries], unit[num_queries:], prototypes, cache

    def _loss(
        self, query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, Terms]:
        def objective(query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor) -> tuple[torch.Tensor, Terms]:
            generator = torch_generator(self.seed, "positives", self.step, device=str(self.model.device))
            return LOSSES[params.name](query, text, prototype, target, params, generator=generator)

        params = self.params.objective
        return nested_loss(objective, (query, text, prototype), self.params.model.matryoshka)

    def _backward(self, loss: torch.Tensor, cache: CachedEmbeddings | None) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if cache is not None:
            cache.backward()

    def _optimise(self) -> None:
        optim = self.params.optim
        if optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm)
        factor = learning_rate_factor(self.step, total_steps=self.total_steps, warmup_steps=optim.warmup_steps)
        set_learning_rate(self.optimiser, factor)
        self.optimiser.step()

    def _remember(self, rows: Ints, query: torch.Tensor) -> None:
        """Put the queries' embeddings into the bank."""
        self.bank[send(rows, self.bank.device)] = query.detach().to(self.bank.device, torch.float16)

    def _pool(self, rows: Ints, rng: np.random.Generator) -> Ints:
        """Return the sorted unique labels of the pool: one positive per query, and mined ones if asked for.

        A label that several queries drew stands once: twice it would take two of a row's hardest negatives.
        """
        labels = self._sampler.draw(rows, rng)
        count = self.params.batching.mined_per_query
        if self.mined is not None and count:
            extra = self.mined.draw(rows, count, numpy_generator(self.seed, "mined", self.step))
            labels = np.concatenate([labels, extra])
        return np.unique(labels)

    def _validate(self) -> None:
        if self.inputs.validation is None:
            return
        metrics = validate(
            self.model, self.inputs.labels, self.inputs.validation, precision=self.params.optim.precision
        )
        self.curve.log(step=self.step, epoch=self.epoch, **{f"validation/{k}": v for k, v in metrics.items()})
