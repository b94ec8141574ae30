"""All evidence together: parts, weights from validation, one ranking from queries and from a folder, other labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from vixml.core.errors import StateError
from vixml.metrics.ranking import ranking_metrics
from vixml.params.classifier import ClassifierParams
from vixml.params.ranking import BlendFitParams, BlendParams, EvidenceParams, PartParams, SpaceFitParams
from vixml.params.retrieval import RetrievalParams
from vixml.ranking.evidence import EvidenceRanker
from vixml.ranking.features import Described, FeatureMaps, ImageRows
from vixml.ranking.fit_evidence import Labelled, fit_evidence
from vixml.ranking.store import open_evidence, save_evidence
from vixml.retrieval.index import ExactIndex

WORDS = ("red", "blue", "green", "shirt", "sock", "hat", "lamp", "chair")
PARAMS = EvidenceParams(
    classifier=ClassifierParams(sketch_dim=64),
    spaces=SpaceFitParams(weights=(0.0, 1.0, 4.0), rounds=1),
    blend=BlendFitParams(weights=(0.0, 0.25, 1.0), sharpness=(0.5, 1.0), tails=(0.0, 0.3), rounds=1),
)
PARAMS_OF_INDEX = RetrievalParams()
LABELS = tuple(f"{colour} {thing}" for colour in WORDS[:3] for thing in WORDS[3:])


def _catalogue(num: int, seed: int, *, images: bool = True, told: float = 1.0) -> Labelled:
    """Return queries whose colour stands in the image, and whose thing stands in the text (with probability `told`)."""
    generator = np.random.default_rng(seed)
    colour, thing = generator.integers(0, 3, num), generator.integers(0, 5, num)
    texts = [f"{WORDS[3 + t]} number {generator.integers(9)}" if generator.random() < told else "item" for t in thing]
    vectors = np.eye(8)[3 + thing] + 0.3 * generator.normal(size=(num, 8))
    pictures = ImageRows(
        (np.eye(6)[colour] + 0.2 * generator.normal(size=(num, 6))).astype(np.float16), np.arange(num + 1)
    )
    relevance = sp.csr_matrix(np.eye(15, dtype=np.float32)[colour * 5 + thing])
    items = Described(texts, vectors.astype(np.float32), pictures if images else None)
    return Labelled(items, relevance, sp.csr_matrix(relevance.shape, dtype=np.float32))


def _fit(*, images: bool = True, validation: int = 80, **more: object) -> tuple[EvidenceRanker, dict]:
    held = _catalogue(validation, 1, images=images) if validation else None
    train = _catalogue(300, 0, images=images)
    return fit_evidence(train, held, label_texts=LABELS, weights=np.ones(15), params=PARAMS, **more)


def _precision(ranker: EvidenceRanker, queries: Labelled) -> float:
    _, top = ranker.search(queries.items, 5, exclude=queries.exclude)
    return ranking_metrics(top, queries.relevance, np.ones(15), (1,))["P@1"]


def test_text_and_images_together_tell_the_label() -> None:
    ranker, report = _fit()
    assert set(report["parts"]) == {
        "neighbours", "neighbours_text", "neighbours_images", "classifiers", "label_tree", "label_words", "frequency",
    }  # fmt: skip
    assert _precision(ranker, _catalogue(100, 2)) > 0.9
    assert report["metrics"]["P@1"] >= max(part["alone"]["P@1"] for part in report["parts"].values()) - 0.02
    text_only, report = _fit(images=False)
    assert not {"neighbours_text", "neighbours_images"} & set(report["parts"])
    assert _precision(text_only, _catalogue(100, 2, images=False)) < 0.6


def test_without_a_validation_split_training_queries_stand_in() -> None:
    ranker, report = _fit(validation=0)
    assert report["held_out"] == 30
    assert len(ranker.keys["words"].toarray()) == 300, "the held-out ones are neighbours again"
    assert _precision(ranker, _catalogue(100, 2)) > 0.9
    few = _catalogue(12, 0)
    ranker, report = fit_evidence(few, None, label_texts=LABELS, weights=np.ones(15), params=PARAMS)
    assert report == {"queries": 0}
    assert _precision(ranker, few) > 0.8


def test_a_trained_model_joins_in() -> None:
    prototypes = ExactIndex(np.eye(15, 8, dtype=np.float32), PARAMS_OF_INDEX)
    ranker, report = _fit(prototypes=prototypes, texts=prototypes)
    assert {"prototypes", "label_texts"} < set(report["parts"])
    unjudged, _ = _fit(validation=0, prototypes=prototypes)
    assert unjudged.params.parts["prototypes"].weight == 0.5
    assert _precision(ranker, _catalogue(100, 2)) > 0.9


def test_a_query_gets_the_same_ranking_alone_and_in_any_block() -> None:
    ranker, _ = _fit()
    queries = _catalogue(23, 3)
    scores, labels = ranker.search(queries.items, 4)
    for block in (1, 5):
        again = replace(ranker, block=block).search(queries.items, 4)
        np.testing.assert_allclose(again[0], scores, rtol=1e-3, atol=1e-5)
        assert (again[1] == labels).mean() > 0.98, "but for ties"


def test_excluded_labels_are_not_returned_and_lists_are_padded() -> None:
    ranker, _ = _fit()
    queries = _catalogue(9, 3)
    _, top = ranker.search(queries.items, 20, exclude=queries.relevance)
    truth = queries.relevance.indices
    assert not (top == truth[:, None]).any()
    assert (top[:, -1] == -1).all()
    assert len(set(top[0][top[0] >= 0])) == (top[0] >= 0).sum()


@pytest.mark.parametrize("many", [False, True])
def test_the_scores_of_other_labels_do_not_depend_on_excluded_ones(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a prediction would not have the scores of the evaluation, which leaves out pairs; but for many of them."""
    monkeypatch.setattr("vixml.ranking.evidence._FEW", 0 if many else 2)
    prototypes = ExactIndex(np.eye(15, 8, dtype=np.float32), PARAMS_OF_INDEX)
    ranker, _ = _fit(prototypes=prototypes)
    mixed = {name: PartParams(weight=1.0) for name in ranker.available}
    ranker, queries = ranker.tuned(params=BlendParams(parts=mixed)), _catalogue(30, 3)
    scores, labels = ranker.search(queries.items, 15)
    taken = sp.csr_matrix((np.ones(30), (np.arange(30), labels[:, 0])), shape=(30, 15))
    without, rest = ranker.search(queries.items, 14, exclude=taken)
    assert (rest[:, 0] == labels[:, 1]).mean() > 0.9
    assert np.allclose(without, scores[:, 1:], rtol=1e-5) != many


def test_the_queries_that_weights_were_fitted_on_are_known_afterwards() -> None:
    ranker, _ = _fit()
    assert {block.shape[0] for block in ranker.keys.values()} == {380}
    assert ranker.side.relevance.shape == (380, 15)
    assert ranker.side.prior.sum() == pytest.approx(1)
    _, top = ranker.search(_catalogue(80, 1).items, 1)
    assert (top[:, 0] == _catalogue(80, 1).relevance.indices).mean() > 0.9


def test_a_query_without_an_image_is_ranked_by_its_text() -> None:
    ranker, _ = _fit()
    none = ImageRows(np.zeros((0, 6), dtype=np.float16), np.zeros(3, dtype=np.int64))
    described = Described(["hat number 1", "sock number 2"], np.eye(8, dtype=np.float32)[[5, 4]], none)
    _, top = ranker.search(described, 1)
    assert [LABELS[label].split()[1] for label in top[:, 0]] == ["hat", "sock"]
    _, again = ranker.search(replace(described, images=None), 1)
    np.testing.assert_array_equal(again, top)


def test_a_ranking_comes_back_from_a_folder(tmp_path: Path) -> None:
    ranker, _ = _fit()
    save_evidence(ranker, tmp_path)
    again, queries = open_evidence(tmp_path), _catalogue(40, 5)
    for found, expected in zip(again.search(queries.items, 3), ranker.search(queries.items, 3), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert again.params == ranker.params
    (tmp_path / "relevance.npz").unlink()
    with pytest.raises(StateError, match="missing or damaged"):
        open_evidence(tmp_path)


def test_a_ranking_over_some_labels_gives_them_the_same_scores() -> None:
    ranker, _ = _fit()
    rows = np.array([0, 3, 7, 8])
    queries = _catalogue(20, 6)
    some = replace(ranker, side=ranker.side.among(rows))
    scores, labels = some.search(queries.items, 4)
    every, names = ranker.search(queries.items, 15)
    for query in range(20):
        expected = {name: score for score, name in zip(every[query], names[query], strict=True) if name in rows}
        for score, label in zip(scores[query], labels[query], strict=True):
            if label >= 0:
                assert score == pytest.approx(expected[rows[label]], rel=1e-4)


def test_images_of_items_are_whitened_and_averaged() -> None:
    train = _catalogue(50, 0)
    maps = FeatureMaps.fit(train.items)
    images = train.items.images
    assert images is not None
    both = Described(["a"], train.items.vectors[:1], ImageRows(images.vectors[:2], np.array([0, 2])))
    one, two = (maps.apply(train.items[row : row + 1])["images"][0] for row in (0, 1))
    mean = (one + two) / np.linalg.norm(one + two)
    np.testing.assert_allclose(maps.apply(both)["images"][0], mean, atol=1e-5)
