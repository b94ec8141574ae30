"""Whatever the model is made of, it predicts, filters, is served, and takes other labels."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd
import pytest

from vixml import Predictor
from vixml.core.directories import WorkDirectory, publish
from vixml.params.model import BackboneParams
from vixml.params.prediction import PredictionParams
from vixml.params.retrieval import LabelUpdateParams, RetrievalParams
from vixml.serving.batch import predict_file
from vixml.serving.labels import LabelChanges, update_labels
from vixml.serving.web.app import Question, answer

DECODER = BackboneParams(
    family="decoder",
    pooling="last",
    tiny={"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 300},
)
QUICK = {
    "classifier": {"sketch_dim": 64},
    "spaces": {"weights": [1.0], "rounds": 1},
    "blend": {"weights": [0.0, 1.0], "sharpness": [1.0], "tails": [0.0], "rounds": 1},
}
EVIDENCE = {"augmentation": {"mode": "evidence", "evidence": QUICK}}
MODELS = {
    "prototypes": {},
    "auxiliary vectors": {"label_side": "auxiliary"},
    "texts": {"label_side": "text"},
    "decoder": {"backbone": DECODER},
    "late fusion": {"fusion": "late", "late": {"num_heads": 2, "feedforward": 16}},
    "no image slot": {"max_images": 0},
    "short vectors": {"matryoshka": (8,), "retrieval": RetrievalParams(dim=8)},
    "faiss-hnsw": {"retrieval": RetrievalParams(kind="faiss-hnsw")},
    "faiss-ivf evidence": {"retrieval": RetrievalParams(kind="faiss-ivf", ivf_lists=4, ivf_probes=4, **EVIDENCE)},
    "evidence": {"retrieval": RetrievalParams(**EVIDENCE)},
    "evidence texts": {"label_side": "text", "retrieval": RetrievalParams(**EVIDENCE)},
    "evidence short": {"matryoshka": (8,), "retrieval": RetrievalParams(dim=8, **EVIDENCE)},
}
TEXTS = ["red vase", "blue shoe", ""]
K = 7


@pytest.fixture(scope="module", params=list(MODELS))
def folder(request, root, tmp_path_factory):
    from serving_shop import make_predictor

    if "faiss" in request.param:
        pytest.importorskip("faiss")
    target = tmp_path_factory.mktemp("every")
    make_predictor(root, target, "encoder_vision", **MODELS[request.param])
    return target / "encoder_vision"


@pytest.fixture(scope="module")
def model(folder):
    return Predictor.open(folder, device="cpu")


@pytest.fixture
def images(root):
    return [[root / "images/L1.png"], [], [root / "images/q6.png", root / "images/L2.png"]]


def test_a_file_and_the_page_say_the_same(model, images, root, tmp_path):
    expected = model.predict(TEXTS, images=images, k=K)
    assert [len(one) for one in expected] == [K] * len(TEXTS)
    names = ["|".join(f"images/{file.name}" for file in few) for few in images]
    pd.DataFrame({"id": ["a", "b", "c"], "text": TEXTS, "images": names}).to_csv(tmp_path / "q.csv", index=False)
    params = PredictionParams(queries=str(tmp_path / "q.csv"), images_root=str(root), k=K, block_size=2)
    built, _ = predict_file(model, params, WorkDirectory(tmp_path / "work"))
    found = pd.read_parquet(built.path / "predictions.parquet").groupby("query_id")
    for (_, rows), text, few, want in zip(found, TEXTS, images, expected, strict=True):
        assert tuple(rows["label_id"]) == want.label_ids
        np.testing.assert_allclose(rows["score"], want.scores, atol=1e-5)
        if text or few:
            files = [base64.b64encode(file.read_bytes()).decode() for file in few]
            shown = answer(model, Question(text=text, images=files, k=K, neighbours=2), (root,))
            assert tuple(label["label_id"] for label in shown["labels"]) == want.label_ids
            assert len(shown["neighbours"]) == 2


def test_filters(model):
    (plain,) = model.predict("red vase", k=48)
    first = plain.label_ids
    assert model.predict("red vase", k=3, deny=first[:2])[0].label_ids[0] not in first[:2]
    (allowed,) = model.predict("red vase", k=9, allow=first[4:7])
    assert sorted(allowed.label_ids) == sorted(first[4:7])
    (left,) = model.predict("red vase", k=48, exclude=[first[:3]])
    assert not set(left.label_ids) & set(first[:3])


def test_labels_come_change_and_go(folder, model, root, tmp_path):
    changes = LabelChanges(
        added={"new": ("red vase <L>", ["images/L0.png"]), "other": ("an entirely new thing", [])},
        updated={"L005": ("white vase, mended", [])},
        removed=["L007"],
        image_root=root,
    )
    built, report = update_labels(model.bundle, changes, LabelUpdateParams(), WorkDirectory(tmp_path / "work"))
    assert (report["added"], report["updated"], report["removed"]) == (2, 1, 1)
    publish(built, tmp_path / "other" / "predictor")
    changed = Predictor.open(tmp_path / "other", device="cpu")
    assert changed.num_labels == 49
    (found,) = changed.predict("red vase <L>", images=[root / "images/L0.png"], k=49)
    assert "new" in found.label_ids
    assert "L007" not in found.label_ids
    assert all(np.isfinite(found.scores))
    kept = changed.rows_of(["L000", "L020", "L047"])
    np.testing.assert_array_equal(
        changed.bundle.label_prototypes[kept], model.bundle.label_prototypes[model.rows_of(["L000", "L020", "L047"])]
    )
