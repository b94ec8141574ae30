"""Evaluation and tuning of rankings, from published embeddings to the document of results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from vixml.core.directories import Built, WorkDirectory, publish
from vixml.core.errors import ConfigError, StateError
from vixml.evaluation import stages
from vixml.metrics.propensity import inverse_propensity
from vixml.metrics.ranking import ranking_metrics
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.retrieval.exact import top_k

EVALUATION = EvaluationParams(ks=(1, 5, 10), top_k=10)
FACTS = ("training_seconds", "parameters", "trained_parameters", "peak_memory_bytes", "epochs", "steps", "device")
NUM_LABELS, NUM_TRAIN = 40, 120


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def world():
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


def run(world, folder, retrieval, validation=True, **settings):
    sides, _, _ = world
    params = VariantParams.model_validate({"retrieval": retrieval, "training": {"device": "cpu"}, **settings})
    embeddings = published(world, folder)
    index = publish(stages.index_labels(embeddings, params.retrieval, WorkDirectory(folder / "w")), folder / "index")
    (folder / "m").mkdir()
    model = publish(Built(folder / "m", "model", dict.fromkeys(FACTS, 1)), folder / "model")
    held = slice(None if validation else 0)
    common = {"embeddings": embeddings, "index": index, "relevance_train": sides["train"][1]}
    no_pairs = sp.csr_matrix((60, NUM_LABELS), dtype=np.float32)
    ranking = stages.tune_ranking(
        params,
        EVALUATION,
        **common,
        relevance_validation=sides["validation"][1][held],
        filter_validation=no_pairs[held],
    )
    document, predictions = stages.evaluate_variant(
        params,
        EVALUATION,
        dataset="toy",
        model=model,
        **common,
        ranking=ranking,
        items_test=pd.DataFrame({"text": ["a b"] * 60, "images": [["x.png"], []] * 30}),
        relevance_test=sides["test"][1],
        filter_test=no_pairs,
        work=WorkDirectory(folder / "w"),
    )
    return ranking, document, predictions


def plain_metrics(world):
    sides, poor, _ = world
    frequencies = np.diff(sides["train"][1].tocsc().indptr)
    _, top = top_k(sides["test"][0], poor, 10)
    return ranking_metrics(top, sides["test"][1], inverse_propensity(frequencies, NUM_TRAIN, 0.55, 1.5), EVALUATION.ks)


def test_a_prior_for_queries_without_an_image(world, tmp_path):
    """Those with an image are ranked as ever, the others by similarity and frequency; no image, no prior."""
    sides, poor, _ = world
    _, document, predictions = run(world, tmp_path / "a", {"imageless_prior": 0.2}, model={"use_images": True})
    assert document["metrics_plain"] == pytest.approx(plain_metrics(world))
    scores = sides["test"][0] @ poor.T
    scores[1::2] += 0.2 * np.log1p(np.diff(sides["train"][1].tocsc().indptr))
    expected = np.argsort(-scores, axis=1)[:, :10]
    np.testing.assert_array_equal(np.load(predictions.path / "labels.npy"), expected)
    assert (expected[1::2] != np.argsort(-sides["test"][0][1::2] @ poor.T, axis=1)[:, :10]).any()
    _, document, _ = run(world, tmp_path / "b", {"imageless_prior": 0.2}, model={"use_images": False})
    assert document["metrics"] == pytest.approx(plain_metrics(world))


def test_embeddings_that_do_not_tell_who_has_an_image(world, tmp_path, monkeypatch):
    """Of an earlier version: fine without a prior, an error that says what to do with one."""
    monkeypatch.setattr(stages, "IMAGELESS", "not-there.npy")
    run(world, tmp_path / "a", {}, model={"use_images": True})
    with pytest.raises(StateError, match="which test queries have no image"):
        run(world, tmp_path / "b", {"imageless_prior": 0.2}, model={"use_images": True})


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_the_plain_ranking(world, tmp_path, kind):
    ranking, document, predictions = run(world, tmp_path, {"kind": kind})
    assert ranking["tuning"] is None
    slices = document["slices"]
    images = [slices["queries"][name] for name in ("with image", "without image")]
    assert np.mean([part["P@1"] for part in images]) == pytest.approx(document["metrics"]["P@1"])
    assert slices["never_predicted"]["@5"] == pytest.approx(
        1 - len(np.unique(np.load(predictions.path / "labels.npy")[:, :5])) / NUM_LABELS
    )
    assert document["metrics"] == pytest.approx(plain_metrics(world))
    assert "metrics_plain" not in document
    assert document["ranking"] == "none"
    assert np.load(predictions.path / "labels.npy").shape == (60, 10)
    assert {path.name for path in (tmp_path / "index").iterdir() if path.is_dir()} == set()


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
@pytest.mark.parametrize("mode", ["split", "joint", "fused"])
def test_training_queries_help_where_prototypes_are_poor(world, tmp_path, kind, mode):
    """Both results are reported, and the blend is better here whatever the index."""
    augmentation = {"mode": mode, "depth": 20, "query_weight": 0.5, "fusion": {"metrics": ["P@1"]}}
    _, document, _ = run(world, tmp_path, {"kind": kind, "augmentation": augmentation})
    assert document["metrics_plain"] == pytest.approx(plain_metrics(world))
    assert document["metrics"]["P@1"] > document["metrics_plain"]["P@1"] + 0.03


def test_the_tuned_weights_are_the_best_that_were_tried(world, tmp_path):
    fusion = {"metrics": ["P@1", "PSP@5"], "grid": [0.0, 0.5, 4.0]}
    ranking, _, _ = run(world, tmp_path, {"augmentation": {"mode": "fused", "fusion": fusion}})
    tuning, chosen = ranking["tuning"], ranking["augmentation"]["fusion"]
    best = max(tuning["tried"], key=lambda row: row["gain"])
    names = ("text", "retrieval", "prototype_temperature", "text_temperature", "retrieval_temperature", "neighbours")
    assert {name: chosen[name] for name in names} == {name: best.get(name) for name in names}
    assert [best[name] for name in names if name in best], "something was chosen"
    assert len(tuning["tried"]) <= 9 + 24 + 6 + 6 + 9
    start = {"prototype": 1.0, "text": 0.0, "retrieval": 0.0, "gain": pytest.approx(1.0)}
    assert tuning["tried"][0] == {**start, **tuning["plain"]}
    assert tuning["gain"] > 1
    assert run(world, tmp_path / "again", {"augmentation": {"mode": "fused", "fusion": fusion}})[0] == ranking


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_tuning_keeps_the_weight_of_the_prototypes(world, tmp_path, weight):
    fusion = {"prototype": weight, "metrics": ["P@1"], "grid": [0.0, 1.0], "temperatures": [], "neighbour_grid": []}
    ranking, document, _ = run(world, tmp_path, {"augmentation": {"mode": "fused", "fusion": fusion}})
    assert ranking["augmentation"]["fusion"]["prototype"] == weight
    assert all(row["prototype"] == weight for row in ranking["tuning"]["tried"])
    assert document["metrics"]["P@1"] > 0.1


def test_a_blend_of_nothing_is_refused():
    for fusion in ({"prototype": 0, "retrieval": 0}, {"prototype": 0, "grid": [0.0]}):
        with pytest.raises(ValueError, match="must be above 0"):
            VariantParams.model_validate({"retrieval": {"augmentation": {"mode": "fused", "fusion": fusion}}})
    untuned = {"prototype": 0, "grid": [0.0], "tune": False}
    VariantParams.model_validate({"retrieval": {"augmentation": {"mode": "fused", "fusion": untuned}}})


def test_what_was_tuned_is_carried_over_by_configuration(world, tmp_path):
    """The tuned settings of one run, written into the configuration of another without validation split, rank alike."""
    _, tuned, _ = run(world, tmp_path / "tuned", {"augmentation": {"mode": "fused"}})
    ranking, _, _ = run(world, tmp_path / "again", {"augmentation": {"mode": "fused"}})
    _, carried, _ = run(world, tmp_path / "carried", {"augmentation": ranking["augmentation"]}, validation=False)
    assert carried["metrics"] == tuned["metrics"]
    assert carried["ranking"] == "fused"


def test_the_tuned_ranking_measures_as_it_was_tuned(world, tmp_path):
    """The search that predictions use gives the metrics of the best trial; too many queries are thinned."""
    from vixml.evaluation import tuning
    from vixml.params.retrieval import AugmentationParams
    from vixml.retrieval.augmentation import open_ranker

    ranking, _, _ = run(world, tmp_path, {"augmentation": {"mode": "fused"}})
    sides = world[0]
    ranker = open_ranker(
        tmp_path / "index",
        tmp_path / "embeddings",
        AugmentationParams.model_validate(ranking["augmentation"]),
        relevance_train=sides["train"][1],
    )
    weights = inverse_propensity(np.diff(sides["train"][1].tocsc().indptr), NUM_TRAIN, 0.55, 1.5)
    queries, relevance = sides["validation"]
    _, top = ranker.search(queries, 10)
    metrics = ranking_metrics(top, relevance, weights, EVALUATION.ks)
    best = max(ranking["tuning"]["tried"], key=lambda row: row["gain"])
    for name in ("P@1", "P@5", "PSP@5"):
        assert best[name] == pytest.approx(metrics[name])
    no_pairs = sp.csr_matrix((60, NUM_LABELS), dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_MOST", 7)
        few, _ = tuning.tune_fusion(
            ranker, queries, relevance=relevance, exclude=no_pairs, inverse_propensity=weights, ks=EVALUATION.ks
        )
    assert few.mode == "fused"


def test_without_validation_queries_the_configured_weights_count(world, tmp_path):
    fusion = {"text": 0.25, "retrieval": 0.75}
    augmentation = {"mode": "fused", "fusion": fusion}
    ranking, _, _ = run(world, tmp_path, {"augmentation": augmentation}, validation=False)
    assert ranking["tuning"] is None
    assert {name: ranking["augmentation"]["fusion"][name] for name in fusion} == fusion


def test_a_metric_that_is_not_measured_is_named(world, tmp_path):
    fusion = {"metrics": ["P@1", "R@7"]}
    with pytest.raises(ConfigError, match="R@7"):
        run(world, tmp_path, {"augmentation": {"mode": "fused", "fusion": fusion}})


def test_candidate_indexes_are_measured(world, tmp_path):
    from vixml.params.retrieval import IndexReportParams
    from vixml.reporting.index_figure import recall_and_speed

    embeddings = published(world, tmp_path)
    params = VariantParams.model_validate({"training": {"device": "cpu"}})
    settings = IndexReportParams.model_validate(
        {"ks": [1, 10], "candidates": [{"kind": "exact"}, {"kind": "faiss-flat"}]}
    )
    rows = stages.measure_indexes(settings, params, embeddings, WorkDirectory(tmp_path / "w"))
    assert [row["recall@10"] for row in rows] == pytest.approx([1.0, 1.0])
    figure = recall_and_speed(pd.DataFrame(rows))
    assert list(figure.data[0].text) == ["exact", "faiss-flat"]
    assert list(figure.data[0].y) == [row["recall@10"] for row in rows]
