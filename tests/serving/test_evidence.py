"""A ranking with all evidence predicts through the same path as every model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import serving_shop as shop

from vixml import Predictor
from vixml.core.directories import WorkDirectory, publish
from vixml.core.errors import ConfigError
from vixml.params.classifier import ClassifierParams
from vixml.params.prediction import PredictionParams
from vixml.params.ranking import BlendFitParams, CalibrationParams, EvidenceParams, SpaceFitParams
from vixml.params.retrieval import AugmentationParams, LabelUpdateParams, RetrievalParams
from vixml.serving.batch import predict_file
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, update_labels
from vixml.serving.web.app import create_app

QUICK = EvidenceParams(
    classifier=ClassifierParams(sketch_dim=64),
    spaces=SpaceFitParams(weights=(1.0,), rounds=1),
    blend=BlendFitParams(weights=(0.0, 1.0), sharpness=(1.0,), tails=(0.0,), rounds=1),
)
RETRIEVAL = RetrievalParams(
    augmentation=AugmentationParams(mode="evidence", evidence=QUICK),
    calibration=CalibrationParams(min_pairs=5, folds=2),
)
TEXTS = ["red vase <q>", "blue shoe", "black clock"]


@pytest.fixture(scope="module")
def folder(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    for variant in ("encoder_text", "encoder_vision"):
        shop.make_predictor(root, folder, variant, RETRIEVAL)
    return folder


@pytest.fixture(params=["encoder_text", "encoder_vision"])
def predictor(request, folder):
    return Predictor.open(folder / request.param, device="cpu")


def _images(root):
    return [[root / "images/q1.png"], [], [root / "images/q7.png"]]


def test_every_part_speaks(predictor):
    images = {"neighbours_text", "neighbours_images"} if predictor.uses_images else set()
    expected = {"neighbours", "classifiers", "label_tree", "prototypes", "label_texts", "label_words", "frequency"}
    assert set(predictor._ranker.available) == expected | images


def test_one_query_alone_and_among_others(predictor, root):
    together = predictor.predict(TEXTS, images=_images(root), k=6)
    assert "red vase <L>" in together[0].texts[:3]
    for place, answer in enumerate(together):
        (alone,) = predictor.predict([TEXTS[place]], images=[_images(root)[place]], k=6)
        np.testing.assert_allclose(alone.scores, answer.scores, rtol=1e-3)
        assert alone.label_ids[0] == answer.label_ids[0]


def test_only_allowed_labels_and_no_excluded_ones(predictor, root):
    images = _images(root)
    answers = predictor.predict(TEXTS, images=images, k=4)
    allowed = [*answers[1].label_ids[1:], *answers[2].label_ids]
    for answer in predictor.predict(TEXTS, images=images, k=30, allow=allowed):
        assert set(answer.label_ids) <= set(allowed)
    without = predictor.predict(TEXTS, images=images, k=4, exclude=[answer.label_ids[:1] for answer in answers])
    for answer, rest in zip(answers, without, strict=True):
        assert answer.label_ids[0] not in rest.label_ids
        assert rest.label_ids[0] == answer.label_ids[1]


def test_an_exact_search_finds_the_same_and_bare_embeddings_rank_too(predictor, folder, root):
    exact = Predictor.open(predictor.bundle.folder, device="cpu", exact=True)
    answers = [one.predict(TEXTS, images=_images(root), k=5) for one in (predictor, exact)]
    assert [answer.label_ids for answer in answers[0]] == [answer.label_ids for answer in answers[1]]
    scores, rows = predictor.rank(predictor.embed(TEXTS, _images(root)), 5)
    assert (rows >= 0).all()
    assert (np.diff(scores, axis=1) <= 0).all()


def test_other_labels(predictor, root, tmp_path):
    """A new label is found by its words; a removed one is gone; those that stay keep their evidence."""
    assert predictor.predict(["vase lamp"], k=3)[0].probabilities
    changes = LabelChanges(added={"new": ("vase lamp", [])}, removed=["L003"], image_root=root)
    built, _ = update_labels(predictor.bundle, changes, LabelUpdateParams(), WorkDirectory(tmp_path / "work"))
    publish(built, tmp_path / "updated")
    updated = Predictor.open(tmp_path / "updated", device="cpu")
    assert PredictorBundle.open(tmp_path / "updated").ranker().size == 48
    (answer,) = updated.predict(["vase lamp"], k=10)
    assert "new" in answer.label_ids
    likely = dict(zip(answer.label_ids, answer.probabilities, strict=True))
    assert likely.pop("new") is None, "no validation query tells of it"
    assert all(0 <= one <= 1 for one in likely.values())
    before, after = (one.predict(TEXTS, images=_images(root), k=40) for one in (predictor, updated))
    for old, new in zip(before, after, strict=True):
        assert "L003" not in new.label_ids
        kept = [uid for uid in old.label_ids if uid != "L003"]
        assert new.label_ids[0] == kept[0]
        assert len(set(new.label_ids[:10]) & set(kept[:10])) >= 9


def test_only_likely_labels(predictor, root):
    whole = predictor.predict(TEXTS, images=_images(root), k=20)
    least = sorted(one for answer in whole for one in answer.probabilities)[30]
    found = predictor.predict(TEXTS, images=_images(root), k=20, min_probability=least)
    for answer, few in zip(whole, found, strict=True):
        kept = [uid for uid, one in zip(answer.label_ids, answer.probabilities, strict=True) if one >= least]
        assert list(few.label_ids) == kept
    assert [len(one) for one in predictor.predict(TEXTS, k=20, max_labels=2)] == [2, 2, 2]


def test_a_list_of_allowed_labels_does_not_change_how_likely_they_are(predictor):
    """They would compete with each other alone."""
    (answer,) = predictor.predict(TEXTS[:1], k=20)
    allowed = answer.label_ids[3:8]
    (few,) = predictor.predict(TEXTS[:1], k=20, allow=allowed)
    likely = dict(zip(answer.label_ids, answer.probabilities, strict=True))
    assert set(few.label_ids) == set(allowed)
    for uid, probability in zip(few.label_ids, few.probabilities, strict=True):
        assert probability == pytest.approx(likely[uid], rel=1e-4)


def test_a_file_of_queries_has_probabilities(predictor, tmp_path):
    file = tmp_path / "queries.csv"
    file.write_text("id,text\n" + "".join(f"{n},{text}\n" for n, text in enumerate(TEXTS)), encoding="utf-8")
    expected = [one for answer in predictor.predict(TEXTS, k=6) for one in answer.probabilities]
    built, report = predict_file(predictor, PredictionParams(queries=str(file), k=6), WorkDirectory(tmp_path / "a"))
    found = pd.read_parquet(built.path / "predictions.parquet")
    np.testing.assert_allclose(found["probability"], expected, rtol=1e-3)
    assert report["probabilities"]["true_pairs"] >= 5
    least = float(np.median(expected))
    chosen = PredictionParams(queries=str(file), k=6, min_probability=least, format="csv")
    built, report = predict_file(predictor, chosen, WorkDirectory(tmp_path / "b"))
    kept = pd.read_csv(built.path / "predictions.csv")
    assert len(kept) == report["predictions"] == (np.array(expected) >= least).sum()
    assert (kept["probability"] >= least - 1e-6).all()
    with pytest.raises(ConfigError, match="no threshold keeps"):
        predict_file(predictor, chosen.model_copy(update={"min_precision": 1.0}), WorkDirectory(tmp_path / "c"))


def test_the_server_answers_with_probabilities(predictor):
    from fastapi.testclient import TestClient

    client = TestClient(create_app({"model": predictor}))
    assert client.get("/api/models").json()[0]["no_probabilities"] is None
    (expected,) = predictor.predict(TEXTS[:1], k=4)
    found = client.post("/api/predict", json={"text": TEXTS[0], "k": 4}).json()["labels"]
    assert [one["probability"] for one in found] == pytest.approx(list(expected.probabilities), rel=1e-4)
    few = client.post("/api/predict", json={"text": TEXTS[0], "k": 4, "max_labels": 1}).json()["labels"]
    assert [one["label_id"] for one in few] == [found[0]["label_id"]]
    refused = client.post("/api/predict", json={"text": TEXTS[0], "min_precision": 1.0})
    assert refused.status_code == 422
    assert "No threshold keeps this precision" in refused.json()["detail"]
