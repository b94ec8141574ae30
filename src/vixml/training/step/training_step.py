"""One training step: pool, forward, loss, backward, new weights (ViXML, section 4; PRIME, section 3.3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from vixml.core.seeding import global_stream, numpy_generator, torch_generator
from vixml.losses.nested import nested_loss
from vixml.losses.objective import LOSSES
from vixml.models.device import send
from vixml.models.gradient_cache import CachedEmbeddings
from vixml.models.item_batch import ItemBatch, concatenate, drop_images
from vixml.models.precision import autocast
from vixml.negatives.sampling import PositiveSampler, pool_target
from vixml.params.variant import VariantParams
from vixml.training.state import TrainingState
from vixml.training.step.optimiser import learning_rate_factor, set_learning_rate
from vixml.training.training_data import TrainingData

Ints = NDArray[np.int64]
Terms = dict[str, torch.Tensor]


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

    def learn(self, state: TrainingState, rows: Ints) -> Terms:
        """Change the weights by one batch of queries, remember their embeddings, count the step.

        Args:
            state: The state of the training.
            rows: Query indices [B].

        Returns:
            The loss and its terms, detached scalars.
        """
        with global_stream(self._seed, "dropout", state.step, device=state.model.device):
            pool, target, items = self.gather(state, rows)
            query, text, prototype, cache = self._forward(state, items, len(rows), pool)
            loss, terms = self._loss(query, text, prototype, target, state.step)
            self._backward(state, loss, cache)
        self._update_weights(state)
        self._remember(state, rows, query)
        state.step += 1
        return {"loss": loss.detach(), **terms}

    def gather(self, state: TrainingState, rows: Ints) -> tuple[torch.Tensor, torch.Tensor, ItemBatch]:
        """Return the pool's label ids [P], the target [B, P], and queries and pooled labels in one batch."""
        pool = self.pool(state, rows, numpy_generator(self._seed, "step", state.step))
        target = pool_target(self._data.relevance, rows, pool)
        items = concatenate(self._data.queries.batch(rows), self._data.labels.batch(pool))
        dropout = self._params.model.image_dropout
        if dropout:
            draws = numpy_generator(self._seed, "image dropout", state.step).random(len(items))
            items = drop_images(items, draws < dropout)
        return send(pool, state.model.device), send(target, state.model.device), items

    def pool(self, state: TrainingState, rows: Ints, rng: np.random.Generator) -> Ints:
        """Return the sorted unique labels of the pool: one positive per query, and mined ones if asked for.

        A label that several queries drew stands once: twice it would take two of a row's hardest negatives.
        """
        labels = self._sampler.draw(rows, rng)
        count = self._params.batching.mined_per_query
        if state.mined is not None and count:
            extra = state.mined.draw(rows, count, numpy_generator(self._seed, "mined", state.step))
            labels = np.concatenate([labels, extra])
        return np.unique(labels)

    def _forward(
        self, state: TrainingState, items: ItemBatch, num_queries: int, pool: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, CachedEmbeddings | None]:
        """Return embeddings of the queries [B, d] and labels [P, d], the labels' prototypes [P, d], and the cache."""
        model, precision, cache = state.model, self._params.optim.precision, None
        if self._params.batching.gradient_cache:
            cache = CachedEmbeddings(model, items, precision=precision)
        with autocast(precision, model.device):
            pooled = model.pool(items) if cache is None else cache.embeddings
            unit = normalize(pooled, dim=-1)
            prototypes = model.prototypes(pooled[num_queries:], pool)
            return unit[:num_queries], unit[num_queries:], prototypes, cache

    def _loss(
        self, query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor, target: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, Terms]:
        def objective(query: torch.Tensor, text: torch.Tensor, prototype: torch.Tensor) -> tuple[torch.Tensor, Terms]:
            generator = torch_generator(self._seed, "positives", step)
            return LOSSES[params.name](query, text, prototype, target, params, generator=generator)

        params = self._params.objective
        return nested_loss(objective, (query, text, prototype), self._params.model.matryoshka)

    def _backward(self, state: TrainingState, loss: torch.Tensor, cache: CachedEmbeddings | None) -> None:
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if cache is not None:
            cache.backward()

    def _update_weights(self, state: TrainingState) -> None:
        optim = self._params.optim
        if optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(state.model.parameters(), optim.clip_norm)
        factor = learning_rate_factor(state.step, total_steps=self._total_steps, warmup_steps=optim.warmup_steps)
        set_learning_rate(state.optimiser, factor)
        state.optimiser.step()

    def _remember(self, state: TrainingState, rows: Ints, query: torch.Tensor) -> None:
        """Put the queries' embeddings into the bank."""
        state.bank[send(rows, state.bank.device)] = query.detach().to(state.bank.device, torch.float16)
