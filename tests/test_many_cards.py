"""The estimate for several cards: what it is made of, and that the page shows its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.cost import cost
from benchmarks.many_cards import estimate, published, table

from vixml.params.variant import VariantParams

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "many_gpus.md"
SIZE = (2_248_619, 1_305_265)


@pytest.fixture(scope="module")
def params() -> VariantParams:
    return published()


def test_one_card_takes_what_the_paper_took(params: VariantParams) -> None:
    one = estimate(params, *SIZE, 1)
    assert one.exchange == 0
    assert cost(params, *SIZE).hours < one.hours == pytest.approx(178, rel=0.02)


def test_cards_without_a_chunk_are_of_no_use(params: VariantParams) -> None:
    """As many chunks as cards: the rest of the cards idle."""

    def hours(cards: int, chunk_tokens: int) -> float:
        batching = params.batching.model_copy(update={"chunk_tokens": chunk_tokens})
        return estimate(params.model_copy(update={"batching": batching}), *SIZE, cards).hours

    assert hours(64, 8192) >= hours(24, 8192)
    assert hours(64, 2048) < 0.6 * hours(64, 8192)
    assert hours(8, 8192) < 0.2 * hours(1, 8192)


def test_machines_exchange_through_the_slower_link(params: VariantParams) -> None:
    eight, sixteen = (estimate(params, *SIZE, cards).exchange for cards in (8, 16))
    assert sixteen > 4 * eight > 0


def test_the_page_shows_the_estimate(params: VariantParams) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for line in table(params):
        assert line in page, line
