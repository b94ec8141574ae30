"""Late fusion, image dropout and shorter widths predict through the same path as every model."""

from __future__ import annotations

import numpy as np
import pytest
import serving_shop as shop

from vixml import Predictor
from vixml.core.directories import WorkDirectory, publish
from vixml.params.retrieval import LabelUpdateParams, RetrievalParams
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, update_labels

KINDS = {
    "late": ({"fusion": "late", "late": {"num_heads": 2, "feedforward": 16}}, RetrievalParams()),
    "images behind": ({"image_position": "after", "image_dropout": 0.3}, RetrievalParams()),
    "past the backbone": ({"image_residual": 0.5}, RetrievalParams()),
    "gated": ({"prototype": {"num_heads": 2, "feedforward": 16, "gate": 0.3}}, RetrievalParams()),
    "narrow": (
        {"output_dim": 12, "matryoshka": (4, 8), "prototype": {"num_heads": 3, "free_vectors": 48}},
        RetrievalParams(),
    ),
    "cut": ({"matryoshka": (4, 8)}, RetrievalParams(dim=8)),
    "cut faiss": ({"matryoshka": (8,)}, RetrievalParams(kind="faiss-flat", dim=8)),
}
WIDTHS = {"late": 16, "gated": 16, "past the backbone": 16, "images behind": 16, "narrow": 12, "cut": 8, "cut faiss": 8}


@pytest.fixture(scope="module")
def kinds(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    for kind, (model, retrieval) in KINDS.items():
        shop.make_predictor(root, folder / kind.replace(" ", "_"), "encoder_vision", retrieval, **model)
    return folder


def opened(kinds, kind: str) -> Predictor:
    return Predictor.open(kinds / kind.replace(" ", "_") / "encoder_vision", device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_one_query_alone_and_among_others(kinds, root, kind):
    """With and without images, of the width that the labels have; restricted and plain searches agree."""
    predictor = opened(kinds, kind)
    texts, images = ["red vase", "blue shoe", "black clock"], [[root / "images/q1.png"], [], [root / "images/q7.png"]]
    vectors = predictor.embed(texts, images)
    assert vectors.shape == (3, WIDTHS[kind])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    together = predictor.predict(texts, images=images, k=4)
    for place, answer in enumerate(together):
        (alone,) = predictor.predict([texts[place]], images=[images[place]], k=4)
        assert list(alone.label_ids) == list(answer.label_ids)
        np.testing.assert_allclose(alone.scores, answer.scores, atol=1e-5)
        (few,) = predictor.predict([texts[place]], images=[images[place]], k=2, allow=list(answer.label_ids[2:]))
        np.testing.assert_allclose(few.scores, answer.scores[2:], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_given_again_gets_the_vectors_it_had(kinds, root, tmp_path, kind):
    """An update with a label's own text and images changes nothing; a new label has the width of the others."""
    bundle = PredictorBundle.open(kinds / kind.replace(" ", "_") / "encoder_vision")
    row = bundle.labels.set_index("uid").loc["L003"]
    changes = LabelChanges(
        updated={"L003": (row["text"], list(row["images"]))},
        added={"new": ("red vase", ["images/q1.png"])},
        image_root=root,
    )
    built, _ = update_labels(bundle, changes, LabelUpdateParams(neighbours=3), WorkDirectory(tmp_path / "work"))
    publish(built, tmp_path / "updated")
    updated = PredictorBundle.open(tmp_path / "updated")
    np.testing.assert_allclose(updated.label_prototypes[3], bundle.label_prototypes[3], atol=1e-5)
    np.testing.assert_allclose(updated.label_texts[3], bundle.label_texts[3], atol=1e-5)
    assert updated.label_prototypes.shape == (49, WIDTHS[kind])
    np.testing.assert_allclose(np.linalg.norm(updated.label_prototypes, axis=1), 1, atol=1e-5)
