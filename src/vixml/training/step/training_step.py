"""One training step: pool, forward, loss, backward, new weights (ViXML, section 4; PRIME, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from vixml.core.seeding import derive_seed, global_stream, numpy_generator, torch_generator
from vixml.distributed import group
from vixml.losses.distillation import soft_cross_entropy
from vixml.losses.nested import nested_loss
from vixml.losses.objective import LOSSES
from vixml.losses.part import Part, divided
from vixml.models.chunked import ChunkedEmbeddings
from vixml.models.device import fetch, send
from vixml.models.item_batch import ItemBatch, concatenate, drop_images
from vixml.models.precision import autocast
from vixml.negatives.sampling import PositiveSampler, pool_target, pool_values
from vixml.params.variant import VariantParams
from vixml.training.state import TrainingState
from vixml.training.step.optimiser import learning_rate_factor, set_learning_rate
from vixml.training.training_data import TrainingData

Ints = NDArray[np.int64]
Terms = dict[str, torch.Tensor]
Vectors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

DIVIDED_FROM = 4096
"""Labels of a pool from which on ranks divide the loss: its matrices then take more memory than the vectors."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Args:
        pool: Label ids int64 [P], sorted, each once.
        target: Boolean relevance [B, P].
        items: The B queries, then the P labels, with the image bank's rows in place of its vectors.
        soft: How likely the teacher finds each pair [B, P], 1 for those of the ground truth; None without a teacher.
    """

    pool: torch.Tensor
    target: torch.Tensor
    items: ItemBatch
    soft: torch.Tensor | None = None


def part_of_this_rank(num_queries: int, num_labels: int) -> Part:
    """Return which part of the loss of so many queries and labels this rank computes."""
    if num_labels < DIVIDED_FROM or not 1 < group.num_ranks() <= min(num_queries, num_labels):
        return Part.whole(num_queries, num_labels)
    rows, columns = group.consecutive_share(num_queries), group.consecutive_share(num_labels)
    return Part(rows, columns, num_queries, num_labels, group.add_up)


class TrainingStep:
    """Learns from one batch of queries; every random stream is derived from the seed and the number of the step.

    Args:
        data: Training data.
        params: Settings of the variant.
        seed: Root seed.
        total_steps: Steps of both stages together, for the learning rate.
    """

    def __init__(self, data: TrainingData, params: VariantParams, *, seed: int, total_steps: int) -> None:
        self._data, self._params, self._seed, self._total_steps = data, params, seed, total_steps
        self._sampler = PositiveSampler(data.relevance, data.inverse_propensity)
        self._soft, self._soft_sampler = data.soft_labels, None
        if data.soft_labels is not None:
            self._soft = data.soft_labels.maximum(data.relevance.sign()).tocsr()  # the ground truth is certain
            self._soft_sampler = PositiveSampler(data.soft_labels, np.ones(data.relevance.shape[1]))

    def learn(self, state: TrainingState, rows: Ints) -> Terms:
        """Change the weights by one batch of queries, remember their embeddings, count the step.

        Args:
            state: The state of the training.
            rows: Query indices [B].

        Returns:
            The loss and its terms, detached scalars.
        """
        with global_stream(self._seed, "dropout", state.step, device=state.model.device):
            batch = self.gather(state, rows)
            embedded = self._embed(state, batch.items)
            vectors = self._split(state, embedded.embeddings, len(rows), batch.pool)
            part = part_of_this_rank(*batch.target.shape)
            read = vectors if part.is_whole else tuple(vector.detach().requires_grad_() for vector in vectors)
            loss, terms = self._loss(read, batch, state.step, part)
            remembered = self._begin_to_remember(state, vectors[0])
            self._backward(state, loss, vectors, read, embedded)
        self._update_weights(state)
        self._remember(state, rows, remembered)
        state.step += 1
        terms = {"loss": loss.detach(), **terms}
        if part.is_whole:
            return terms
        return dict(zip(terms, group.add_up(torch.stack(list(terms.values()))), strict=True))

    def gather(self, state: TrainingState, rows: Ints) -> Batch:
        """Return queries and pooled labels, and what is known of each pair of them."""
        pool, device = self.pool(state, rows, numpy_generator(self._seed, "step", state.step)), state.model.device
        target = send(pool_target(self._data.relevance, rows, pool), device)
        soft = None if self._soft is None else send(pool_values(self._soft, rows, pool), device)
        items = concatenate(self._data.queries.outline(rows), self._data.labels.outline(pool))
        dropout = self._params.model.image_dropout
        if dropout:
            draws = numpy_generator(self._seed, "image dropout", state.step).random(len(items))
            items = drop_images(items, draws < dropout)
        return Batch(send(pool, device), target, items, soft)

    def pool(self, state: TrainingState, rows: Ints, rng: np.random.Generator) -> Ints:
        """Return the sorted unique labels of the pool: one positive per query, mined and soft ones if asked for.

        A label that several queries drew stands once: twice it would take two of a row's hardest negatives.
        """
        labels = self._sampler.draw(rows, rng)
        if self._soft_sampler is not None:
            likely = np.repeat(rows, self._params.objective.distillation.drawn_per_query)
            drawn = self._soft_sampler.draw(likely, numpy_generator(self._seed, "soft labels", state.step))
            labels = np.concatenate([labels, drawn])
        count = self._params.batching.mined_per_query
        if state.mined is not None and count:
            extra = state.mined.draw(rows, count, numpy_generator(self._seed, "mined", state.step))
            labels = np.concatenate([labels, extra])
        return np.unique(labels)

    def _embed(self, state: TrainingState, items: ItemBatch) -> ChunkedEmbeddings:
        """Embed the batch; the dropout of a chunk comes from seed, step and its number, whichever rank embeds it."""
        return ChunkedEmbeddings(
            state.model,
            items,
            precision=self._params.optim.precision,
            stream=lambda chunk: derive_seed(self._seed, "dropout", state.step, chunk),
            cached=self._params.batching.gradient_cache,
            load=self._data.labels.load,
        )

    def _split(self, state: TrainingState, pooled: torch.Tensor, num_queries: int, pool: torch.Tensor) -> Vectors:
        """Return unit embeddings of the queries [B, d] and labels [P, d], and the labels' prototypes [P, d]."""
        torch.manual_seed(derive_seed(self._seed, "dropout", state.step, "labels"))
        with autocast(self._params.optim.precision, state.model.device):
            unit = normalize(pooled, dim=-1)
            prototypes = state.model.prototypes(pooled[num_queries:], pool)
            return unit[:num_queries], unit[num_queries:], prototypes

    def _loss(self, vectors: Sequence[torch.Tensor], batch: Batch, step: int, part: Part) -> tuple[torch.Tensor, Terms]:
        def objective(query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor) -> tuple[torch.Tensor, Terms]:
            generator = torch_generator(self._seed, "positives", step)
            loss, terms = divided(
                params.name,
                LOSSES[params.name],
                part,
                query,
                text,
                prototype,
                batch.target,
                params,
                generator=generator,
                spared=spared,
            )
            if batch.soft is None:
                return loss, terms
            rows = part.queries
            soft = soft_cross_entropy(query[rows], text, prototype, batch.soft[rows], temperature=student.temperature)
            soft = part.of_queries * soft
            return loss + student.weight * soft, {**terms, "loss_soft": soft.detach()}

        params = self._params.objective
        student = params.distillation
        spared = None
        if batch.soft is not None and student.spare_above is not None:
            spared = batch.soft >= student.spare_above
        return nested_loss(objective, vectors, self._params.model.matryoshka)

    def _backward(
        self,
        state: TrainingState,
        loss: torch.Tensor,
        vectors: Vectors,
        read: Sequence[torch.Tensor],
        embedded: ChunkedEmbeddings,
    ) -> None:
        """Send the gradient into the label side, whole on every rank, and into the network, summed over the ranks.

        A divided loss has `read` copies of the vectors, whose gradients are summed before they go on.
        """
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if read is not vectors:
            pairs = [(vector, copy.grad) for vector, copy in zip(vectors, read, strict=True) if copy.grad is not None]
            whole = [group.add_up(grad.contiguous()) for _, grad in pairs]
            torch.autograd.backward([vector for vector, _ in pairs], whole)
        embedded.backward()

    def _update_weights(self, state: TrainingState) -> None:
        optim = self._params.optim
        if optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(state.model.parameters(), optim.clip_norm)
        factor = learning_rate_factor(state.step, total_steps=self._total_steps, warmup_steps=optim.warmup_steps)
        set_learning_rate(state.optimiser, factor)
        state.optimiser.step()

    def _begin_to_remember(self, state: TrainingState, query: torch.Tensor) -> Callable[[], torch.Tensor]:
        """Begin to take the queries' embeddings to where the bank is, before the backward pass delays it."""
        if state.bank.device.type == "cpu":
            return fetch(query, torch.float16)
        kept = query.detach().to(state.bank.device, torch.float16)
        return lambda: kept

    def _remember(self, state: TrainingState, rows: Ints, query: Callable[[], torch.Tensor]) -> None:
        """Put the queries' embeddings into the bank."""
        state.bank[send(rows, state.bank.device)] = query()
