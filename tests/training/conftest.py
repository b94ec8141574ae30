"""A trainer of seconds: fabricated tokens and images, a random encoder, four steps an epoch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from vixml.core.seeding import derive_seed
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.metrics.propensity import inverse_propensity
from vixml.models.dual import DualModel
from vixml.models.embedder import Embedder
from vixml.models.label_side import make_label_side
from vixml.params.model import PrototypeParams
from vixml.params.variant import VariantParams
from vixml.training.loop import Trainer
from vixml.training.training_data import ItemSource, TrainingData

PARAMS = VariantParams(
    batching={"batch_size": 16, "start_epoch": 2, "update_every": 1, "cluster_size": 4, "double_at": [3]},
    optim={"lr": 1e-3, "lr_other": 1e-3, "warmup_steps": 2, "precision": "fp32"},
    training={"epochs": 4, "checkpoint_every": 0, "device": "cpu"},
    model={"use_images": True},
)


def _source(count: int, rng: np.random.Generator, vectors: np.ndarray) -> ItemSource:
    lengths, images = rng.integers(2, 8, count), rng.integers(0, 3, count)
    tokens = RaggedArray(rng.integers(4, 60, lengths.sum()), offsets_of(lengths))
    return ItemSource(tokens, RaggedArray(rng.integers(0, len(vectors), images.sum()), offsets_of(images)), vectors)


def tiny_model(num_labels: int, label_side: str = "prototype") -> DualModel:
    from transformers import AutoModel, BertConfig

    torch.manual_seed(derive_seed(0, "test"))
    config = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    embedder = Embedder(AutoModel.from_config(config), image_dim=6)
    shape = PrototypeParams(num_heads=2, feedforward=16)
    return DualModel(embedder, make_label_side(label_side, 16, shape, num_labels=num_labels))


def tiny_trainer(
    work: Path,
    *,
    identity: str = "same",
    params: VariantParams = PARAMS,
    device: torch.device | str = "cpu",
    soft_labels: sp.csr_matrix | None = None,
    model: DualModel | None = None,
) -> Trainer:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((20, 6)).astype(np.float16)
    relevance = sp.csr_matrix(sp.random(50, 20, density=0.2, format="csr", random_state=1, dtype=np.float32))
    relevance.data[:] = 1
    relevance.sort_indices()
    weights = inverse_propensity(np.diff(relevance.tocsc().indptr), 50, 0.55, 1.5)
    queries, labels = _source(50, rng, vectors), _source(20, rng, vectors)
    inputs = TrainingData(queries, labels, relevance, weights, soft_labels=soft_labels)
    model = (model or tiny_model(20, params.objective.label_side)).to(device)
    return Trainer(model, inputs, params, seed=7, work=work, identity={"params.optim.lr": identity})


@pytest.fixture
def tiny() -> SimpleNamespace:
    """The builders above, and the file that another process can load them from."""
    return SimpleNamespace(trainer=tiny_trainer, model=tiny_model, params=PARAMS, file=Path(__file__))
