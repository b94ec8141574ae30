"""The estimate of operations against those that torch counts."""

from __future__ import annotations

import pytest
from benchmarks.cost import counted, examples, operations_a_token

NETWORKS = ["encoder", "decoder with LoRA", "decoder with LoRA, activations made again"]


@pytest.mark.parametrize("name", NETWORKS)
def test_estimated_operations_are_those_that_torch_counts(name: str) -> None:
    found, estimated = counted(examples()[name])
    assert estimated == pytest.approx(found, rel=0.05)


def test_a_further_forward_pass_costs_two_operations_a_weight() -> None:
    assert operations_a_token(10, 1, again=2) - operations_a_token(10, 1, again=0) == 2 * 2 * 11
