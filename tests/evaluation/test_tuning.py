"""Tuning of rankings on validation queries: the best that was tried, carried over and measured as tuned."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from tests.evaluation.worlds import EVALUATION, NUM_LABELS, NUM_TRAIN, run

from vixml.core.errors import ConfigError
from vixml.metrics.propensity import inverse_propensity
from vixml.metrics.ranking import ranking_metrics
from vixml.params.variant import VariantParams


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
