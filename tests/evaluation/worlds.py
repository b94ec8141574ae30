"""A world of labels whose prototypes are poor, published as embeddings and evaluated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from vixml.core.directories import Built, WorkDirectory, publish
from vixml.data.dataset import Dataset, build_dataset
from vixml.evaluation import stages
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams

EVALUATION = EvaluationParams(ks=(1, 5, 10), top_k=10)

FACTS = ("training_seconds", "parameters", "trained_parameters", "peak_memory_bytes", "epochs", "steps", "device")


NUM_LABELS, NUM_TRAIN = 40, 120


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_world():
    """Labels whose prototypes are poor, and training queries that know better: each is near its label's place."""
    rng = np.random.default_rng(0)
    places = unit(rng.normal(size=(NUM_LABELS, 16)))

    def queries(count):
        label = rng.integers(0, NUM_LABELS, count)
        relevance = sp.csr_matrix((np.ones(count, np.float32), (np.arange(count), label)), (count, NUM_LABELS))
        return unit(places[label] + 0.1 * rng.normal(size=(count, 16))), relevance

    sides = {name: queries(count) for name, count in (("train", NUM_TRAIN), ("validation", 60), ("test", 60))}
    poor = unit(places + 0.5 * rng.normal(size=places.shape))
    return sides, poor, unit(places + 0.4 * rng.normal(size=places.shape))


def published(world, folder):
    sides, poor, texts = world
    (folder / "built").mkdir(parents=True)
    np.save(folder / "built" / "test_imageless.npy", np.arange(60) % 2 == 1)
    for name in ("train", "validation", "test"):
        np.save(folder / "built" / f"{name}_queries.npy", sides[name][0])
    np.save(folder / "built" / "label_prototypes.npy", poor)
    np.save(folder / "built" / "label_texts.npy", texts)
    return publish(Built(folder / "built", "embeddings", {"milliseconds_per_query": 1.0}), folder / "embeddings")


def make_dataset(folder, relevance, items):
    """Publish a data set of these sides, in which no pair is filtered."""
    labels = [f"label {number}" for number in range(NUM_LABELS)]
    parts = {"items_label": pd.DataFrame({"uid": labels, "text": labels, "images": [[]] * NUM_LABELS})}
    for side, matrix in relevance.items():
        none = sp.csr_matrix(matrix.shape, dtype=np.float32)
        uids = [f"{side} {row}" for row in range(matrix.shape[0])]
        parts |= {f"relevance_{side}": matrix, f"filter_{side}": none, f"items_{side}": items[side].assign(uid=uids)}
    return Dataset(publish(build_dataset(parts, WorkDirectory(folder / "w")), folder / "dataset"))


def run(world, folder, retrieval, **settings):
    sides, _, _ = world
    params = VariantParams.model_validate({"retrieval": retrieval, "training": {"device": "cpu"}, **settings})
    embeddings = published(world, folder)
    index = publish(stages.index_labels(embeddings, params.retrieval, WorkDirectory(folder / "w")), folder / "index")
    (folder / "m").mkdir()
    model = publish(Built(folder / "m", "model", dict.fromkeys(FACTS, 1)), folder / "model")
    relevance = {name: side[1] for name, side in sides.items()}
    items = {
        name: pd.DataFrame({"text": ["a b"] * len(side[0]), "images": [["x.png"], []] * (len(side[0]) // 2)})
        for name, side in sides.items()
    }
    return stages.evaluate_variant(
        params,
        EVALUATION,
        name="toy",
        dataset=make_dataset(folder, relevance, items),
        model=model,
        embeddings=embeddings,
        index=index,
        work=WorkDirectory(folder / "w"),
    )
