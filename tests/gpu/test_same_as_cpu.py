"""On a GPU: what the CPU computes, to rounding. `make gpu-check` runs this, without the project's other libraries.

python -m pytest tests/gpu --noconftest                             # where there is a card
VIXML_GPU_CHECK_DEVICE=cpu python -m pytest tests/gpu --noconftest  # the same code without one
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from benchmarks.architectures import backbone
from tests.negatives.worlds import mining_params, world
from tests.training.conftest import PARAMS, tiny_trainer

from vixml.core.errors import ConfigError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.label_side import make_label_side
from vixml.models.precision import to_device
from vixml.negatives.mining import mine_labels
from vixml.params.model import PrototypeParams
from vixml.params.objective import OBJECTIVES
from vixml.params.retrieval import RetrievalParams
from vixml.params.variant import VariantParams
from vixml.retrieval.clustering import balanced_clusters
from vixml.retrieval.index import build_index
from vixml.training.checkpoint import newest_checkpoint, read_state
from vixml.training.encode import embed_all, embed_labels
from vixml.training.loop import Trainer
from vixml.training.training_data import ItemSource

DEVICE = torch.device(os.environ.get("VIXML_GPU_CHECK_DEVICE", "cuda"))
CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def changed(**groups: dict[str, object]) -> VariantParams:
    settings = PARAMS.model_dump()
    return VariantParams(**{**settings, **{name: {**settings[name], **values} for name, values in groups.items()}})


def on_both(work: Path, params: VariantParams, learn: Callable[[Trainer], object]) -> tuple[Trainer, Trainer]:
    """Do the same with a trainer on the CPU and one on the device, both without dropout."""
    trainers = []
    for name, device in (("cpu", CPU), ("device", DEVICE)):
        trainer = tiny_trainer(work / name, params=params, device=device)
        trainer.state.model.eval()
        learn(trainer)
        trainers.append(trainer)
    return trainers[0], trainers[1]


def assert_same_weights(one: Trainer, other: Trainer, tolerance: float) -> None:
    theirs = other.state.model.state_dict()
    for name, value in one.state.model.state_dict().items():
        torch.testing.assert_close(value.cpu(), theirs[name].cpu(), atol=tolerance, rtol=tolerance, msg=name)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_and_weights_of_three_steps(tmp_path: Path, objective: str, cached: bool) -> None:
    """The same pools, positives and losses; the weights after three steps with AdamW, embeddings in the bank."""
    losses: list[list[float]] = []

    def learn(trainer: Trainer) -> None:
        batches = trainer.batches()[:3]
        losses.append([float(trainer.step.learn(trainer.state, rows)["loss"]) for rows in batches])

    params = changed(objective={"name": objective}, batching={"gradient_cache": cached})
    one, other = on_both(tmp_path, params, learn)
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)
    assert_same_weights(one, other, 2e-3)
    torch.testing.assert_close(one.state.bank.cpu(), other.state.bank.cpu(), atol=5e-3, rtol=0)


def decoder(device: torch.device) -> DualModel:
    """A small decoder with adapters that do something, and images."""
    torch.manual_seed(0)
    network, template = backbone("tiny-decoder")
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    embedder = Embedder(network, image_dim=6, template=template, chunk_tokens=128)
    side = make_label_side("prototype", embedder.dim, PrototypeParams(num_heads=2), num_labels=40)
    return to_device(DualModel(embedder, side), device, "fp32")


def items(count: int) -> ItemSource:
    rng = np.random.default_rng(0)
    lengths, images = rng.integers(2, 12, count), rng.integers(0, 4, count)
    vectors = rng.standard_normal((30, 6)).astype(np.float16)
    tokens = RaggedArray(rng.integers(0, 4000, lengths.sum()), offsets_of(lengths))
    return ItemSource(tokens, RaggedArray(rng.integers(0, 30, images.sum()), offsets_of(images)), vectors)


def test_embeddings_of_a_decoder_with_adapters() -> None:
    """Queries, label texts and prototypes, in chunks of several lengths, with and without images."""
    source = items(40)
    queries, labels = [], []
    for device in (CPU, DEVICE):
        model = decoder(device)
        queries.append(embed_all(model, source, precision="fp32", desc="q"))
        labels.append(embed_labels(model, source, precision="fp32", desc="l"))
    np.testing.assert_allclose(queries[0], queries[1], atol=2e-4)
    np.testing.assert_allclose(labels[0], labels[1], atol=2e-4)


def test_half_precision_is_close() -> None:
    """In bfloat16, with the frozen base stored so, an embedding keeps its direction."""
    source = items(40)
    exact = embed_all(decoder(DEVICE), source, precision="fp32", desc="fp32")
    half = embed_all(to_device(decoder(CPU), DEVICE, "bf16"), source, precision="bf16", desc="bf16")
    assert (exact * half).sum(axis=1).min() > 0.98


def test_clusters_are_balanced_and_drawn_again() -> None:
    """A partition whose sizes differ by one, the same at a second time."""
    points = torch.nn.functional.normalize(torch.randn(1003, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    first, again = (
        balanced_clusters(points.to(DEVICE), size=10, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )
    assert sorted(torch.cat(list(first)).tolist()) == list(range(1003))
    sizes = {len(cluster) for cluster in first}
    assert max(sizes) - min(sizes) <= 1
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_search_and_mining() -> None:
    """The same labels at the same scores, with excluded pairs, and again from labels that are there already."""
    rng = np.random.default_rng(0)
    queries, labels = (rng.standard_normal((n, 24)).astype(np.float32) for n in (70, 3000))
    exclude = sp.random(70, 3000, 0.01, format="csr", random_state=0, dtype=np.float32)
    one, other = (build_index(labels, RetrievalParams(query_block=32), device=str(d)) for d in (CPU, DEVICE))
    for _ in range(2):
        expected, found = (index.search(queries, 20, exclude=exclude) for index in (one, other))
        np.testing.assert_array_equal(expected[1], found[1])
        np.testing.assert_allclose(expected[0], found[0], atol=1e-5)
    mined = [mine_labels(*world(2), params=mining_params(6, (0.3, 0.6)), device=str(d)) for d in (CPU, DEVICE)]
    np.testing.assert_array_equal(mined[0].labels, mined[1].labels)
    np.testing.assert_array_equal(mined[0].duplicates.values, mined[1].duplicates.values)


def test_a_killed_training_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    """Random and clustered batches, dropout included; the checkpoint goes through the disk."""

    class Killed(Exception):
        pass

    params = changed(training={"checkpoint_minutes": 1e-12})
    whole = tiny_trainer(tmp_path / "whole", params=params, device=DEVICE)
    whole.fit(4, desc="stage")
    first = tiny_trainer(tmp_path / "parts", params=params, device=DEVICE)
    learn = first.step.learn

    def killed(state: object, rows: np.ndarray) -> object:
        if first.state.step == 9:
            raise Killed
        return learn(first.state, rows)

    first.step.learn = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        first.fit(4, desc="stage")
    second = tiny_trainer(tmp_path / "parts", params=params, device=DEVICE)
    found = newest_checkpoint(second.checkpoints / "stage")
    assert found is not None
    read_state(second.state, found)
    assert second.state.step == 9
    second.fit(4, desc="stage")
    assert_same_weights(whole, second, 1e-6 if DEVICE == CPU else 1e-3)


def test_memory_that_runs_out_ends_with_the_settings_to_change(tmp_path: Path) -> None:
    """One sentence, not a traceback of the allocator."""
    trainer = tiny_trainer(tmp_path, device=DEVICE)

    def full(*_: object) -> object:
        if DEVICE.type == "cuda":
            return torch.empty(1 << 50, device=DEVICE)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1048576.00 GiB")

    trainer.step.learn = full  # type: ignore[method-assign, assignment]
    with pytest.raises(ConfigError, match=r"memory.*batching.gradient_cache"):
        trainer.fit(1, desc="stage")
