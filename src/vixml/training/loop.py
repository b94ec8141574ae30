"""The training loop of both stages (ViXML, section 4; PRIME, section 3.3; NGAME batches)."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from vixml.core.progress import progress
from vixml.core.seeding import derive_seed, numpy_generator, torch_generator
from vixml.losses.prime import prime_loss
from vixml.models.dual import DualModel
from vixml.negatives.batches import cluster_batches, num_batches, random_batches
from vixml.negatives.centroids import label_centroids
from vixml.negatives.clustering import balanced_clusters
from vixml.negatives.curriculum import cluster_size_at, is_clustered, is_reclustered
from vixml.negatives.sampling import PositiveSampler, pool_target
from vixml.params.variant import VariantParams
from vixml.training.checkpoint import save_checkpoint
from vixml.training.curve import Curve
from vixml.training.inputs import ItemSource, concatenate
from vixml.training.optimiser import learning_rate_factor, make_optimiser, set_learning_rate
from vixml.training.precision import autocast
from vixml.training.validation import Validation, validate

Ints = NDArray[np.int64]
_LINUX_CLEAR, _LINUX_STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
Terms = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TrainingInputs:
    """What a training reads.

    Args:
        queries: Training queries, N.
        labels: Labels, L.
        relevance: Relevance [N, L].
        inverse_propensity: float64 [L].
        validation: Held-out queries, or None.
    """

    queries: ItemSource
    labels: ItemSource
    relevance: sp.csr_matrix
    inverse_propensity: NDArray[np.float64]
    validation: Validation | None = None


class Trainer:
    """Model, optimiser, embedding bank and clusters of one training; continues where its state says.

    Every random stream is derived from the seed and the step or epoch, so a resumed run draws the same numbers.

    Args:
        model: The model, on its device.
        inputs: Training data.
        params: Settings of the variant.
        seed: Root seed.
        work: Folder of the curve and the checkpoints.
        fingerprint: Identifies data and settings; a checkpoint of another one is not continued.
    """

    def __init__(
        self,
        model: DualModel,
        inputs: TrainingInputs,
        params: VariantParams,
        *,
        seed: int,
        work: Path,
        fingerprint: str,
    ) -> None:
        self.model, self.inputs, self.params, self.seed, self.fingerprint = model, inputs, params, seed, fingerprint
        self.optimiser = make_optimiser(model, params.optim)
        # A query without labels has no positive to learn from.
        self.rows: Ints = np.flatnonzero(np.diff(inputs.relevance.indptr)).astype(np.int64)
        self.batch_size = min(params.batching.batch_size, len(self.rows))
        self.total_steps = params.training.epochs * num_batches(len(self.rows), self.batch_size)
        self.bank = torch.zeros(len(inputs.queries), model.embedder.dim, dtype=torch.float16)
        self.clusters: list[Ints] | None = None
        self.mined: NDArray[np.integer] | None = None
        self.epoch = self.step = 0
        self.seconds = 0.0
        reset_peak_memory(model.device)
        self.peak_memory_bytes = 0
        self.curve = Curve(work / "curve.jsonl")
        self.checkpoints = work / "checkpoints"
        self._sampler = PositiveSampler(inputs.relevance, inputs.inverse_propensity)

    def fit(self, until: int, *, desc: str) -> None:
        """Train to the start of epoch `until`, checkpointing on the way.

        Args:
            until: Epoch to stop at.
            desc: Name of the stage: of the progress bar and of the folder of its checkpoints.
        """
        training = self.params.training
        last = training.epochs
        self.model.train()
        steps = num_batches(len(self.rows), self.batch_size)
        with progress(desc=desc, total=until * steps, unit="step") as bar:
            bar.update(self.step)
            while self.epoch < until:
                started = time.perf_counter()
                means = self._run_epoch(bar)
                self.epoch += 1
                self._update_centroids()
                elapsed = time.perf_counter() - started
                self.seconds += elapsed
                self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory(self.model.device))
                self.curve.log(
                    step=self.step, epoch=self.epoch, **means, queries_per_second=len(self.rows) / max(elapsed, 1e-9)
                )
                if training.validate_every and (self.epoch % training.validate_every == 0 or self.epoch == last):
                    self._validate()
                if training.checkpoint_every and self.epoch % training.checkpoint_every == 0 and self.epoch < until:
                    save_checkpoint(self, self.checkpoints / desc)
                bar.set_postfix(
                    epoch=self.epoch,
                    loss=f"{means['loss']:.4f}",
                    queries_s=f"{len(self.rows) / max(elapsed, 1e-9):.0f}",
                )

    def set_bank(self, embeddings: NDArray[np.float32], clusters: list[Ints]) -> None:
        """Take over exact embeddings [N, d] and the clusters made from them."""
        self.bank.copy_(torch.from_numpy(embeddings))
        self.clusters = clusters
        self._update_centroids()

    def batches(self) -> list[Ints]:
        """Return the query batches of the current epoch, re-clustering when the curriculum says so."""
        batching = self.params.batching
        rng = numpy_generator(self.seed, "batches", self.epoch)
        if not is_clustered(self.epoch, batching):
            return [self.rows[b] for b in random_batches(len(self.rows), self.batch_size, rng)]
        if self.clusters is None or is_reclustered(self.epoch, batching):
            self.clusters = make_clusters(self.bank, self.rows, self.epoch, self.params, self.seed, self.model.device)
        return cluster_batches(self.clusters, self.batch_size, rng)

    def _run_epoch(self, bar: Any) -> dict[str, float]:
        sums: Terms = {}
        batches = self.batches()
        for rows in batches:
            for name, value in self._train_step(rows).items():
                sums[name] = sums[name] + value if name in sums else value
            bar.update(1)
        return {name: float(value) / len(batches) for name, value in sums.items()}

    def _train_step(self, rows: Ints) -> Terms:
        rng = numpy_generator(self.seed, "step", self.step)
        torch.manual_seed(derive_seed(self.seed, "dropout", self.step))
        generator = torch_generator(self.seed, "positives", self.step, device=str(self.model.device))
        pool = self._pool(rows, rng)
        device = self.model.device
        target = torch.from_numpy(pool_target(self.inputs.relevance, rows, pool)).to(device)
        items = concatenate(self.inputs.queries.batch(rows), self.inputs.labels.batch(pool))
        with autocast(self.params.optim.precision, device):
            embeddings = self.model.embed(items)
            query, text = embeddings[: len(rows)], embeddings[len(rows) :]
            prototype = self.model.prototypes(text, torch.from_numpy(pool).to(device))
        loss, terms = prime_loss(query, text, prototype, target, self.params.objective, generator=generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.params.optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.params.optim.clip_norm)
        factor = learning_rate_factor(
            self.step, total_steps=self.total_steps, warmup_steps=self.params.optim.warmup_steps
        )
        set_learning_rate(self.optimiser, factor)
        self.optimiser.step()
        self.bank[torch.from_numpy(rows)] = query.detach().to("cpu", torch.float16)
        self.step += 1
        return {"loss": loss.detach(), **terms}

    def _pool(self, rows: Ints, rng: np.random.Generator) -> Ints:
        """Return the sorted unique labels of the pool: one positive per query, and mined ones if asked for.

        A label that several queries drew stands once: twice it would take two of a row's hardest negatives.
        """
        labels = self._sampler.draw(rows, rng)
        count = self.params.batching.mined_per_query
        if self.mined is not None and count:
            choice = rng.integers(0, self.mined.shape[1], size=(len(rows), count))
            extra = self.mined[rows[:, None], choice].ravel()
            labels = np.concatenate([labels, extra[extra >= 0].astype(np.int64)])
        return np.unique(labels)

    def _update_centroids(self) -> None:
        centroids = label_centroids(self.bank.numpy(), self.inputs.relevance)
        self.model.centroids.copy_(torch.from_numpy(centroids))

    def _validate(self) -> None:
        if self.inputs.validation is None:
            return
        metrics = validate(
            self.model, self.inputs.labels, self.inputs.validation, precision=self.params.optim.precision
        )
        self.curve.log(step=self.step, epoch=self.epoch, **{f"validation/{k}": v for k, v in metrics.items()})


def make_clusters(
    bank: torch.Tensor, rows: Ints, epoch: int, params: VariantParams, seed: int, device: torch.device
) -> list[Ints]:
    """Cluster the training queries `rows` by their bank embeddings at the size of `epoch`."""
    generator = torch_generator(seed, "clusters", epoch)
    size = cluster_size_at(epoch, params.batching)
    points = bank[torch.from_numpy(rows)].to(device)
    return [rows[cluster.numpy()] for cluster in balanced_clusters(points, size=size, generator=generator)]


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring the peak anew, so that a variant does not inherit the peak of an earlier one."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _LINUX_CLEAR.exists():
        with suppress(OSError):
            _LINUX_CLEAR.write_text("5")


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes since the last reset: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _LINUX_STATUS.exists():
        line = next(line for line in _LINUX_STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
