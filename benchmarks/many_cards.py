"""What a training takes on several H100, estimated, not measured: the table of docs/how-to/many_gpus.md.

    python -m benchmarks.many_cards

A step is divided as `vixml.models.chunked` does it: chunks of the batch among the cards; loss, label side and optimiser
whole on every card; then one sum of all embeddings and one of the gradients of the network. A step takes

    alone / cards / balance + whole + exchange

- alone: seconds of a step on one card, by the operations of `benchmarks.cost` at the rate that the paper's own longest
  run implies (178 hours, about 14.6 s a step): the one figure here that was measured on a card, by its authors.
- balance: chunks of a step over cards times the chunks of the busiest card. With fewer chunks than cards some idle.
- whole: the label side's operations at that rate; the optimiser's bytes at the card's published memory bandwidth.
- exchange: bytes of both sums, of which a ring sends 2 (n - 1) / n, at published bandwidths times `EFFICIENCY`: first
  among the cards of a machine (NVLink), then among machines, each with one link of 400 Gb/s.

What two processes on processors showed (`benchmarks.ranks`, docs): 1.83 times as fast as one, nothing of a step that
grows with the number of ranks but the exchange. That checks the shape of the formula, not its numbers.

Besides the steps: texts embedded for refreshes and validations at the seconds a text that operations imply, divided
among the cards; and clusters, which one card makes while the others wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cost import NETWORKS, RATE, cost
from vixml.params.variant import VariantParams

_PROJECT = Path(__file__).resolve().parents[1]
NVLINK, NETWORK, MEMORY = 450e9, 400e9 / 8, 3.35e12
"""Bytes a second: NVLink 4 in one direction, one link between machines, memory of an H100 SXM (data sheets)."""
EFFICIENCY = 0.8
"""Share of a published bandwidth that large transfers reach."""
CARDS_A_MACHINE, CARD_GB = 8, 80
_CLUSTERING = 12.6 / 1_305_265 / 384
"""Seconds a query and number of its embedding to cluster once, on two cores (docs/explanation/benchmarks.md)."""


@dataclass(frozen=True)
class Estimate:
    """A training on several cards.

    Args:
        cards: How many.
        step: Seconds of a step.
        exchange: Seconds of it that the cards exchange numbers.
        busy: Share of it that a card computes what nobody else does.
        hours: Of the steps.
        refresh_hours: Of embedding and clustering for refreshes and validations.
        gigabytes: What lies whole on every card: network, optimiser, label side.
    """

    cards: int
    step: float
    exchange: float
    busy: float
    hours: float
    refresh_hours: float
    gigabytes: float


def estimate(params: VariantParams, num_queries: int, num_labels: int, cards: int) -> Estimate:
    """Estimate a training.

    Args:
        params: The variant.
        num_queries: Training queries.
        num_labels: Labels.
        cards: H100, 8 a machine.
    """
    network, batch, epochs = NETWORKS[params.backbone.name], params.batching.batch_size, params.training.epochs
    steps = epochs * math.ceil(num_queries / batch)
    one = cost(params, num_queries, num_labels)
    alone = 3600 * one.hours / steps
    positions = alone * RATE / _operations(params)
    chunks = math.ceil(positions / params.batching.chunk_tokens)
    balance = chunks / (cards * math.ceil(chunks / cards))
    trained = network.weights if params.backbone.lora is None else network.adapters
    side = params.model.prototype.free_vectors * network.width
    whole = 3 * 2 * 12 * network.width**2 * 3 * batch / RATE + 28 * (trained + side) / (EFFICIENCY * MEMORY)
    exchange = _exchange(4 * (2 * batch * network.width + trained), cards)
    step = alone / cards / balance + whole + exchange
    texts, renewals = _embedded(params, num_queries, num_labels)
    embedding = texts * positions / (2 * batch) * 2 * network.blocks / RATE / cards
    clustering = renewals * _CLUSTERING * num_queries * network.width
    resident = 2 * network.weights + 16 * trained + 16 * side + 4 * num_labels * network.width
    return Estimate(
        cards,
        step,
        exchange,
        alone / cards / step,
        steps * step / 3600,
        (embedding + clustering) / 3600,
        resident / 1e9,
    )


def _operations(params: VariantParams) -> float:
    """Return the operations of a position of a sequence, forward and backward, as `benchmarks.cost` counts them."""
    network = NETWORKS[params.backbone.name]
    again = 2 * (params.backbone.gradient_checkpointing + params.batching.gradient_cache)
    if params.backbone.lora is None:
        return (6 + again) * network.blocks
    return (4 + again) * network.blocks + (6 + again) * network.adapters


def _exchange(size: float, cards: int) -> float:
    """Return the seconds of a sum of `size` bytes over all cards: inside of machines, then between them."""
    inside, machines = min(cards, CARDS_A_MACHINE), math.ceil(cards / CARDS_A_MACHINE)
    local = 2 * (inside - 1) / inside * size / (EFFICIENCY * NVLINK)
    return local + 2 * (machines - 1) / machines * size / (EFFICIENCY * NETWORK)


def _embedded(params: VariantParams, num_queries: int, num_labels: int) -> tuple[float, int]:
    """Return how many texts are embedded outside of steps, and how often queries are clustered."""
    batching, training = params.batching, params.training
    hard = max(0, training.epochs - batching.start_epoch)
    renewals = 1 + hard // max(1, batching.update_every)
    validations = training.epochs // training.validate_every if training.validate_every else 0
    return 2.0 * (num_queries + num_labels) + (renewals + validations) * num_labels, renewals


def rows(params: VariantParams, num_queries: int, num_labels: int) -> list[str]:
    """Return the lines of a table: 1, 8 and 64 cards."""
    lines = []
    for cards in (1, 8, 64):
        chunks = params.batching.model_copy(update={"chunk_tokens": 8192 if cards < 64 else 2048})
        one = estimate(params.model_copy(update={"batching": chunks}), num_queries, num_labels, cards)
        fits = "" if one.gigabytes < CARD_GB else " (does not fit)"
        lines.append(
            f"| {num_labels:,} | {cards} | {chunks.chunk_tokens} | {one.step:.2f} | {one.exchange:.3f} | "
            f"{100 * one.busy:.0f} % | {one.hours:,.0f} | {one.refresh_hours:,.1f} | {one.gigabytes:,.0f}{fits} |"
        )
    return lines


HEAD = (
    "| labels | cards | `chunk_tokens` | seconds a step | exchange | computing | hours of steps | hours of refreshes |"
    " GB on every card |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print what Qwen2.5-3B with images takes at 1.3M labels, and at 100M with queries in proportion."""
    print("\n".join([HEAD, *table(published())]))


def published() -> VariantParams:
    """Return the settings of the paper's largest run: Qwen2.5-3B with images on LF-AmazonTitles-1.3M."""
    from vixml.config import ProjectConfigLoader
    from vixml.settings import CONFIG_LOADER_ARGS

    loader = ProjectConfigLoader(str(_PROJECT / "conf"), env="lf_amazontitles_1_3m", **CONFIG_LOADER_ARGS)
    return VariantParams.model_validate(loader["parameters"]["decoder_vision"])


def table(params: VariantParams) -> list[str]:
    """Return the lines of both sizes."""
    queries, labels = 2_248_619, 1_305_265
    return [*rows(params, queries, labels), *rows(params, round(queries * 1e8 / labels), 100_000_000)]


if __name__ == "__main__":
    main()
