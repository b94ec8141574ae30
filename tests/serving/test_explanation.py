"""Explanations: the parts add up to the score, and neighbours and places are what a second look finds."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import serving_shop as shop
from fastapi.testclient import TestClient

from vixml import Predictor
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendFitParams, EvidenceParams, SpaceFitParams
from vixml.params.retrieval import AugmentationParams, RetrievalParams
from vixml.ranking.features import Described
from vixml.serving.web.app import create_app

QUICK = EvidenceParams(
    classifier=ClassifierParams(sketch_dim=64),
    spaces=SpaceFitParams(weights=(1.0,), rounds=1),
    blend=BlendFitParams(weights=(0.0, 1.0), sharpness=(1.0,), tails=(0.0,), rounds=1),
)
RETRIEVAL = RetrievalParams(augmentation=AugmentationParams(mode="evidence", evidence=QUICK))


@pytest.fixture(scope="module")
def predictor(root, tmp_path_factory):
    """A model with images and all evidence."""
    folder = tmp_path_factory.mktemp("explained")
    shop.make_predictor(root, folder, "encoder_vision", RETRIEVAL)
    return Predictor.open(folder / "encoder_vision", device="cpu")


@pytest.fixture(scope="module")
def picture(root):
    return (root / "images/q1.png").read_bytes()


@pytest.fixture(scope="module")
def client(predictor):
    return TestClient(create_app({"m": predictor}))


def ask(client, **question):
    answer = client.post("/api/predict", json={"explain": True, **question})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_parts_add_up_to_the_score(predictor, picture):
    asked: list[Described] = []
    found = predictor.search(["red vase", "blue"], [[picture], []], 6, asked=asked)
    shares = predictor.shares(asked[0], found.rows)
    assert {"neighbours", "classifiers", "label_words"} <= set(shares)
    np.testing.assert_allclose(sum(shares.values()), found.scores, rtol=1e-5)
    padded = found.rows.copy()
    padded[0, 2:] = -1
    again = predictor.shares(asked[0], padded)
    assert all(not part[0, 2:].any() for part in again.values())
    np.testing.assert_array_equal(again["neighbours"][1], shares["neighbours"][1])


def test_an_answer_says_why(client, predictor, picture):
    image = base64.b64encode(picture).decode()
    found = ask(client, text="red vase", images=[image], k=8, neighbours=7)
    assert len(found["neighbours"]) == 7
    names = [one.query_id for one in predictor.explain("red vase", images=[picture], k=7)[0]]
    assert [one["query_id"] for one in found["neighbours"]] == names
    table = predictor.bundle.train_items
    near = table.index[table["uid"].isin(names)]
    without = [one["label_id"] for one in ask(client, text="red vase", k=100)["labels"]]
    for label in found["labels"]:
        why = label["why"]
        assert sum(why["parts"].values()) == pytest.approx(1)
        assert list(why["parts"].values()) == sorted(why["parts"].values(), reverse=True)
        assert why["neighbours"] == (predictor.bundle.train_relevance[near][:, [label["row"]]] > 0).sum()
        place = without.index(label["label_id"]) + 1 if label["label_id"] in without else None
        assert why["place_without_image"] == place
    assert any(label["why"]["place_without_image"] != label["rank"] for label in found["labels"])


def test_without_an_image_nothing_is_left_out(client):
    found = ask(client, text="red vase", k=3)
    assert len(found["neighbours"]) == 5
    assert all(label["why"]["place_without_image"] is None for label in found["labels"])
    plain = client.post("/api/predict", json={"text": "red vase", "k": 3}).json()
    assert plain["neighbours"] == []
    assert all("why" not in label for label in plain["labels"])


def test_a_ranking_without_parts_still_names_neighbours(models):
    client = TestClient(create_app({"m": Predictor.open(models / "encoder_text", device="cpu")}))
    for label in ask(client, text="red vase", k=3)["labels"]:
        assert label["why"]["parts"] == {}
        assert 0 <= label["why"]["neighbours"] <= 5
