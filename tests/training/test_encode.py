"""Published embeddings: unit vectors, of a chosen width, prototypes as the model combines them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.training.stage_runs import changed, make_inputs, train
from torch.nn.functional import normalize

from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.build import open_model
from vixml.training import stages
from vixml.training.encode import embed_all, embedded_labels
from vixml.training.training_data import ItemSource


def test_embeddings_of_the_trained_model(tmp_path: Path) -> None:
    """Test queries and prototypes come out as unit vectors."""
    inputs = make_inputs(tmp_path)
    model, _ = train(inputs, tmp_path / "run")
    built = stages.embed_test_and_labels(inputs, model, WorkDirectory(tmp_path / "embeddings_work"))
    for name, count in (("test_queries", 9), ("label_texts", 20), ("label_prototypes", 20)):
        vectors = np.load(built.path / f"{name}.npy")
        assert vectors.shape == (count, 16)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_embeddings_of_a_chosen_width(tmp_path: Path) -> None:
    """`retrieval.dim` cuts queries and labels alike, after the prototypes were made at full width."""
    inputs = make_inputs(tmp_path)
    model, _ = train(inputs, tmp_path)
    full = stages.embed_test_and_labels(inputs, model, WorkDirectory(tmp_path / "full"))
    short_inputs = changed(inputs, retrieval={"dim": 6})
    short = stages.embed_test_and_labels(short_inputs, model, WorkDirectory(tmp_path / "short"))
    assert short.meta["dim"] == 6
    for name in ("test_queries", "label_texts", "label_prototypes", "train_queries"):
        whole = np.load(full.path / f"{name}.npy").astype(np.float32)[:, :6]
        expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        np.testing.assert_allclose(np.load(short.path / f"{name}.npy"), expected, atol=2e-3)
    too_wide = changed(inputs, retrieval={"dim": 17})
    with pytest.raises(ConfigError, match="wider than the embeddings"):
        stages.embed_test_and_labels(too_wide, model, WorkDirectory(tmp_path / "wide"))


def test_published_prototypes_combine_the_embeddings_as_pooled(tmp_path: Path) -> None:
    """Label texts are published at unit length, prototypes are made of what they were before."""
    inputs = make_inputs(tmp_path)
    model, _ = train(inputs, tmp_path / "run")
    folder = stages.embed_test_and_labels(inputs, model, WorkDirectory(tmp_path / "embeddings")).path
    dual, labels = open_model(model.path)[0], inputs.source("label")
    with torch.no_grad():
        pooled = dual.embedder(labels.batch(np.arange(len(labels))))
        expected = dual.label_side(pooled, torch.arange(len(labels)))
    assert (pooled.norm(dim=1) - 1).abs().min() > 0.1
    np.testing.assert_allclose(np.load(folder / "label_prototypes.npy"), expected, atol=1e-5)
    np.testing.assert_allclose(np.load(folder / "label_texts.npy"), normalize(pooled, dim=-1), atol=1e-5)


WIDTH, ITEMS = 64, 50_000


class _Hash(SimpleNamespace):
    """A network that turns an item's only token into a unit vector; prototypes are the negated texts."""

    training, device = True, torch.device("cpu")
    embedder = SimpleNamespace(dim=WIDTH)

    def pool(self, batch):
        angle = torch.from_numpy(np.asarray(batch.tokens.values, np.float32))[:, None] * torch.arange(1, WIDTH + 1)
        return torch.sin(angle)

    def embed(self, batch):
        return normalize(self.pool(batch), dim=-1)

    def prototypes(self, pooled, labels):
        assert len(pooled) == len(labels)
        return -normalize(pooled, dim=-1)

    def train(self, mode=True):
        self.training = mode

    def eval(self):
        self.training = False


def _one_token_each() -> ItemSource:
    return ItemSource(RaggedArray(np.arange(ITEMS), offsets_of(np.ones(ITEMS, dtype=np.int64))))


def test_embeddings_stream_into_a_file(tmp_path: Path) -> None:
    """In half precision and the items' order, without a copy of all of them in memory."""
    model, source = _Hash(), _one_token_each()
    whole = embed_all(model, source, precision="fp32", desc="all", dtype=np.float32)
    tracemalloc.start()
    found = embed_all(model, source, precision="fp32", desc="all", into=tmp_path / "all.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ITEMS * WIDTH * 2 / 2
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float16
    assert model.training
    np.testing.assert_array_equal(found, whole.astype(np.float16))


def test_texts_and_prototypes_stream_into_files_that_go(tmp_path: Path) -> None:
    model, source = _Hash(), _one_token_each()
    tracemalloc.start()
    with embedded_labels(model, source, tmp_path, precision="fp32", desc="labels") as (texts, prototypes):
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert texts.shape == prototypes.shape == (ITEMS, WIDTH)
        np.testing.assert_array_equal(prototypes, -texts)
    assert peak < ITEMS * WIDTH * 2
    assert not list(tmp_path.iterdir())
