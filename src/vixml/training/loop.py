"""The training loop of both stages: epochs, batches, refreshes, curve, validation, checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from vixml.core.progress import progress, with_subject
from vixml.core.seeding import numpy_generator
from vixml.core.signals import EXIT_STOPPED, Stopped, StopRequest
from vixml.distributed import group
from vixml.models.device import full_memory_says
from vixml.models.dual import DualModel
from vixml.negatives.batches import cluster_batches, random_batches
from vixml.negatives.centroids import update_centroids
from vixml.negatives.curriculum import is_clustered, is_reclustered
from vixml.params.variant import VariantParams
from vixml.training.checkpoint import CHECKPOINTS, CheckpointWriter
from vixml.training.curve import Curve
from vixml.training.encode import validate
from vixml.training.peak_memory import peak_memory, reset_peak_memory
from vixml.training.refresh import refresh
from vixml.training.state import new_state
from vixml.training.step.optimiser import make_optimiser
from vixml.training.step.training_step import TrainingStep
from vixml.training.training_data import TrainingData

log = logging.getLogger(__name__)

Ints = NDArray[np.int64]

_LESS_MEMORY = "set batching.gradient_cache: true, or lower batching.chunk_tokens, then batching.batch_size."


class Trainer:
    """Takes the steps of a training, and keeps its state, its curve and its checkpoints.

    Every random stream is derived from the seed and the step or epoch, so a resumed run draws the same numbers.

    Args:
        model: The model, on its device.
        data: Training data.
        params: Settings of the variant.
        seed: Root seed.
        work: Folder of the curve and the checkpoints.
        identity: What the numbers depend on; a checkpoint of another identity is not continued.
    """

    def __init__(
        self,
        model: DualModel,
        data: TrainingData,
        params: VariantParams,
        *,
        seed: int,
        work: Path,
        identity: Mapping[str, Any],
    ) -> None:
        self.data, self.params, self.seed = data, params, seed
        self.state = new_state(
            model,
            make_optimiser(model, params.optim),
            data.relevance,
            batch_size=params.batching.batch_size,
            max_epoch_steps=params.training.max_epoch_steps,
            seed=seed,
            identity=identity,
        )
        total_steps = params.training.epochs * self.state.steps_per_epoch
        self.step = TrainingStep(data, params, seed=seed, total_steps=total_steps)
        reset_peak_memory(model.device)
        self.curve, self.refreshes = (
            Curve(work / name, write=group.leads()) for name in ("curve.jsonl", "refreshes.jsonl")
        )
        self.checkpoints = work / CHECKPOINTS
        self._clock = self._saved_at = time.perf_counter()
        self._writer, self._saved_step = CheckpointWriter(), 0

    def fit(self, until: int, *, desc: str) -> None:
        """Train to the start of epoch `until`, checkpointing on the way.

        Args:
            until: Epoch to stop at.
            desc: Name of the stage: of the progress bar and of the folder of its checkpoints.

        Raises:
            Stopped: SIGTERM or SIGINT asked for it; the state is saved.
            ConfigError: The GPU's memory ran out.
        """
        state = self.state
        state.model.train()
        self._clock = self._saved_at = time.perf_counter()
        total = until * state.steps_per_epoch
        with (
            full_memory_says(_LESS_MEMORY),
            StopRequest() as stop,
            self._saving(),
            progress(desc=desc, total=total, unit="step") as bar,
        ):
            bar.skip(state.step)
            while state.epoch < until:
                batches = self.batches()
                with bar.part(f"epoch {state.epoch + 1}/{until}", total=len(batches), done=state.step_in_epoch):
                    while state.step_in_epoch < len(batches):
                        self._take_step(batches[state.step_in_epoch], bar)
                        if state.step_in_epoch < len(batches):  # else the epoch's end comes first
                            self._keep(desc, stop, until)
                self._end_epoch()
                self._keep(desc, stop, until)

    def batches(self) -> list[Ints]:
        """Return the query batches of the current epoch, re-clustering when the curriculum says so."""
        return self._all_batches()[: self.state.steps_per_epoch]

    def _all_batches(self) -> list[Ints]:
        state, batching = self.state, self.params.batching
        rng = numpy_generator(self.seed, "batches", state.epoch)
        if not is_clustered(state.epoch, batching):
            return [state.rows[b] for b in random_batches(len(state.rows), state.batch_size, rng)]
        if state.clusters is None or (state.step_in_epoch <= 0 and is_reclustered(state.epoch, batching)):
            self._refresh()
        assert state.clusters is not None
        return cluster_batches(state.clusters, state.batch_size, rng)

    def _refresh(self) -> None:
        state, scratch = self.state, self.checkpoints.parent
        fresh = refresh(state, self.data, self.params, seed=self.seed, scratch=scratch)
        state.clusters = fresh.clusters
        if fresh.mined is not None:
            state.mined, state.mined_is_renewed = fresh.mined, True
        if fresh.monitored is not None:
            state.monitored = fresh.monitored
        self.refreshes.log(step=state.step, epoch=state.epoch, **fresh.record)

    def _take_step(self, rows: Ints, bar: Any) -> None:
        state = self.state
        terms = self.step.learn(state, rows)
        state.epoch_means.add(terms)
        state.recent_means.add({"loss": terms["loss"]})
        bar.update(1)
        every = self.params.training.log_every or max(1, state.steps_per_epoch // 20)
        if state.step_in_epoch % every == 0:
            loss = state.recent_means.take()["loss"]
            self.curve.log(step=state.step, epoch=state.epoch + 1, **{"batch/loss": loss})
            bar.set_postfix(epoch=state.epoch + 1, loss=round(loss, 4))

    def _end_epoch(self) -> None:
        state, training = self.state, self.params.training
        state.epoch += 1
        group.take_from_leader(state.model.label_side.parameters())
        update_centroids(state.model, state.bank, self.data.relevance)
        self._lap()
        speed = min(len(state.rows), state.steps_per_epoch * state.batch_size) / max(state.epoch_seconds, 1e-9)
        self.curve.log(step=state.step, epoch=state.epoch, **state.epoch_means.take(), queries_per_second=speed)
        state.epoch_seconds = 0.0
        every = training.validate_every
        if every and (state.epoch % every == 0 or state.epoch == training.epochs):
            self._validate()
        self._clock = time.perf_counter()

    def _lap(self) -> None:
        """Add the time since the last look at the clock; validation and checkpoints do not count as training."""
        state = self.state
        now = time.perf_counter()
        state.seconds += now - self._clock
        state.epoch_seconds += now - self._clock
        self._clock = now
        state.peak_memory_bytes = max(state.peak_memory_bytes, peak_memory(state.model.device))

    def _keep(self, desc: str, stop: StopRequest, until: int) -> None:
        """Save a checkpoint where one is due or a signal asks for it; several ranks do so after the same step."""
        state, training = self.state, self.params.training
        ended_epoch = state.step_in_epoch == 0
        minutes = (time.perf_counter() - self._saved_at) / 60
        due = 0 < training.checkpoint_minutes <= minutes or (
            ended_epoch and training.checkpoint_every > 0 and state.epoch % training.checkpoint_every == 0
        )
        stopped, due = map(bool, group.largest(stop.received is not None, due))
        if stopped or (due and state.epoch < until):
            if not ended_epoch:
                self._lap()
            saved = group.decided(lambda: self._save(self.checkpoints / desc, wait=stopped))
            self._clock = self._saved_at = time.perf_counter()
            if stopped:
                log.warning(
                    "Stopped by %s after step %d of %s; %s. The same command continues from there (exit code %d).",
                    stop.received or "a signal to another process",
                    state.step,
                    with_subject(desc),
                    "the state is saved" if saved else "the last checkpoint before it is kept",
                    EXIT_STOPPED,
                )
                raise Stopped

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Have checkpoints saved while the block runs; the last one is complete when it ends."""
        with CheckpointWriter() as self._writer:
            try:
                yield
            finally:
                self._complete()

    def _save(self, folder: Path, *, wait: bool) -> bool:
        """Save a checkpoint; where that fails (a full disk, say) the training goes on and tries again later.

        Args:
            folder: Where those of the stage are.
            wait: Whether to return only when it is complete.

        Returns:
            Whether nothing has failed so far.
        """
        self._complete()
        self._saved_step = self.state.step
        try:
            self._writer.save(self.state, folder, keep=self.params.training.keep_checkpoints)
        except (OSError, SafetensorError) as err:
            self._warn(err)
            return False
        return self._complete() if wait else True

    def _complete(self) -> bool:
        """Wait for the checkpoint that is being saved; return whether it, if any, is complete."""
        try:
            self._writer.wait()
        except OSError as err:
            self._warn(err)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        log.warning("No checkpoint could be written at step %d (the older one stays): %s", self._saved_step, error)

    def _validate(self) -> None:
        state = self.state
        if self.data.validation is None:
            return
        metrics = validate(state.model, self.data.labels, self.data.validation, precision=self.params.optim.precision)
        self.curve.log(step=state.step, epoch=state.epoch, **{f"validation/{k}": v for k, v in metrics.items()})
