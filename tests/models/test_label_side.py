"""What the label sides make of a pooled text embedding: which of them look at its length."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from vixml.models.label_side import PrototypeSide, make_label_side
from vixml.params.model import PrototypeParams

LABELS = torch.tensor([2, 0, 2])


@pytest.fixture
def pooled() -> torch.Tensor:
    """Embeddings [3, 16] of length 5."""
    return 5 * normalize(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)), dim=-1)


def test_the_combiner_reads_the_embedding_as_pooled(pooled: torch.Tensor) -> None:
    """Not scaled to unit length, as in the published method."""
    side = make_label_side("prototype", 16, PrototypeParams(num_heads=2, feedforward=16), num_labels=4).eval()
    assert isinstance(side, PrototypeSide)
    side.centroids.normal_()
    sequence = torch.stack([pooled, side.free.table.weight[LABELS], side.centroids[LABELS]], dim=1)
    with torch.no_grad():
        expected = normalize(side.combiner.layer(sequence).mean(dim=1), dim=-1)
        torch.testing.assert_close(side(pooled, LABELS), expected)
        assert (side(normalize(pooled, dim=-1), LABELS) - expected).abs().max() > 1e-3


def test_the_other_sides_scale_it_first(pooled: torch.Tensor) -> None:
    """A text's length says nothing in DEXA, NGAME and the softmax family."""
    unit = normalize(pooled, dim=-1)
    torch.testing.assert_close(make_label_side("text", 16, PrototypeParams(), num_labels=4)(pooled, LABELS), unit)
    side = make_label_side("auxiliary", 16, PrototypeParams(), num_labels=4)
    assert side.free is not None
    torch.testing.assert_close(side(pooled, LABELS), normalize(unit + side.free.table.weight[LABELS], dim=-1))


def test_a_gated_combiner_starts_at_the_centroid(pooled: torch.Tensor) -> None:
    """With a fifth of the text, or at the text alone; the combiner's output is added at the gate's length."""
    params = PrototypeParams(num_heads=2, feedforward=16, gate=0.0)
    side = make_label_side("prototype", 16, params, num_labels=4).eval()
    assert isinstance(side, PrototypeSide)
    side.centroids[2].normal_()
    unit, centroid = normalize(pooled, dim=-1), normalize(side.centroids[2].float(), dim=0)
    with torch.no_grad():
        start = side(pooled, LABELS)
        torch.testing.assert_close(start[1], unit[1])
        torch.testing.assert_close(start[0], normalize(centroid + 0.2 * unit[0], dim=0))
        side.combiner.gate.fill_(0.7)
        sequence = torch.stack([pooled, side.free.table.weight[LABELS], side.centroids[LABELS]], dim=1)
        combined = normalize(side.combiner.layer(sequence).mean(dim=1), dim=-1)
        torch.testing.assert_close(side(pooled, LABELS), normalize(start + 0.7 * combined, dim=-1))


def test_the_gate_is_learned_without_decay_and_the_papers_combiner_has_none() -> None:
    """So models of the published recipes hold the same weights as before."""
    plain = make_label_side("prototype", 16, PrototypeParams(num_heads=2, feedforward=16), num_labels=4)
    gated = make_label_side("prototype", 16, PrototypeParams(num_heads=2, feedforward=16, gate=0.3), num_labels=4)
    added = {name for name, _ in gated.named_parameters()} - {name for name, _ in plain.named_parameters()}
    assert added == {"combiner.gate"}
    assert gated.combiner.gate.ndim == 0


def test_a_fitted_side_moves_the_prototypes_by_its_offsets(pooled: torch.Tensor) -> None:
    """By nothing until they are fitted; a side that is not fitted holds none."""
    settings = {"num_heads": 2, "feedforward": 16}
    plain = make_label_side("prototype", 16, PrototypeParams(**settings), num_labels=4).eval()
    side = make_label_side("prototype", 16, PrototypeParams(**settings, fit={}), num_labels=4).eval()
    assert plain.offsets is None
    assert side.offsets is not None
    assert side.state_dict().keys() - plain.state_dict().keys() == {"offsets"}
    side.load_state_dict({**side.state_dict(), **plain.state_dict()})
    with torch.no_grad():
        start = plain(pooled, LABELS)
        torch.testing.assert_close(side(pooled, LABELS), start)
        side.offsets[2] = 0.5
        torch.testing.assert_close(side(pooled, LABELS)[[0, 2]], normalize(start[[0, 2]] + 0.5, dim=-1))
        torch.testing.assert_close(side(pooled, LABELS)[1], start[1])
