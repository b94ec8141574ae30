"""From a data set to soft labels: what is hidden is found likely, and who may teach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.audit.test_unseen import PARAMS, WORDS, _shop

from vixml.core.directories import Built, WorkDirectory, publish
from vixml.core.errors import ConfigError, StateError
from vixml.data.dataset import Dataset, build_dataset
from vixml.data.soft_labels import read_soft_labels
from vixml.distillation.teach import teach
from vixml.params.data.distillation import DistillationParams
from vixml.params.evaluation import EvaluationParams

TEACHER = DistillationParams.model_validate(
    {"folds": 3, **PARAMS.model_dump(include={"evidence", "calibration"}), "min_probability": 0.05}
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A published data set of 240 queries, and the pairs that are hidden in it."""
    folder = tmp_path_factory.mktemp("shop")
    train, hidden, _ = _shop()
    none = sp.csr_matrix((0, 12), dtype=np.float32)
    items = pd.DataFrame({"uid": [f"q{n}" for n in range(240)], "text": train.items.texts, "images": [[]] * 240})
    labels = [f"{word} {side}" for side in ("one", "two") for word in WORDS]
    parts = {"items_train": items, "relevance_train": train.relevance, "filter_train": train.exclude}
    for side in ("validation", "test"):
        parts |= {f"items_{side}": items.iloc[:0], f"relevance_{side}": none, f"filter_{side}": none}
    parts["items_label"] = pd.DataFrame({"uid": labels, "text": labels, "images": [[]] * 12})
    return Dataset(publish(build_dataset(parts, WorkDirectory(folder / "w")), folder / "dataset")), hidden


def taught(dataset, folder, params=TEACHER, **embeddings):
    built = teach(params, EvaluationParams(), dataset, embeddings=embeddings, work=WorkDirectory(folder / "work"))
    return publish(built, folder / "soft_labels")


def embeddings_of(folder, vectors):
    """Published embeddings of a variant; of no training query where `vectors` is None."""
    (folder / "made").mkdir(parents=True)
    if vectors is not None:
        np.save(folder / "made" / "train_queries.npy", vectors.astype(np.float16))
    return publish(Built(folder / "made", "embeddings", {}), folder / "published")


def test_hidden_pairs_become_likely_labels(shop, tmp_path):
    dataset, hidden = shop
    sealed = taught(dataset, tmp_path)
    soft = read_soft_labels(sealed, dataset.relevance("train"))
    assert soft.data.min() >= 0.05
    assert soft.data.max() <= 1
    assert sum(soft[row, label] >= 0.3 for row, label in hidden) >= 10
    assert sealed.meta["teacher"] == "evidence"
    assert sealed.meta["queries"] == 240
    assert sealed.meta["labels_per_query"] == pytest.approx(soft.nnz / 240)


def test_a_trained_variant_teaches_too(shop, tmp_path):
    dataset, hidden = shop
    params = TEACHER.model_copy(update={"teacher": "encoder_vision"})
    knows = dataset.relevance("train").toarray()
    for row, label in hidden:
        knows[row, label] = 1  # what no text says as clearly
    sealed = taught(dataset, tmp_path, params, encoder_vision=embeddings_of(tmp_path, knows))
    assert sealed.meta["teacher"] == "encoder_vision"
    plain = read_soft_labels(taught(dataset, tmp_path / "plain"), dataset.relevance("train"))
    assert abs(read_soft_labels(sealed, dataset.relevance("train")) - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("teacher", "published", "error", "says"),
    [
        ("encoder_vision", None, ConfigError, "has not been trained"),
        ("decoder_text", None, ConfigError, "has not been trained"),
        ("encoder_vision", 239, StateError, "Found: 239 queries"),
        ("encoder_vision", -1, StateError, "Found: no such file"),
    ],
)
def test_a_teacher_that_cannot_teach(shop, tmp_path, teacher, published, error, says):
    embeddings = None
    if published is not None:
        embeddings = embeddings_of(tmp_path, np.ones((published, 8)) if published > 0 else None)
    params = TEACHER.model_copy(update={"teacher": teacher})
    with pytest.raises(error, match=says):
        taught(shop[0], tmp_path, params, encoder_vision=embeddings)
