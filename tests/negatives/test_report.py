"""The report on hard negatives equals its definition."""

from __future__ import annotations

import numpy as np
import pytest
from tests.negatives.worlds import mining_params, ragged, world
from tests.oracles import mining as oracle

from vixml.negatives.mining import Mined, mine_labels
from vixml.negatives.report import changed_share, clusters_report, negatives_report


def test_the_report_equals_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vixml.negatives.report._PAIRS", 5)
    queries, prototypes, texts, relevance = world(3)
    mined = mine_labels(queries, prototypes, texts, relevance, params=mining_params(4, (0.5, None)), device="cpu")
    scores, true = queries @ prototypes.T, relevance.toarray() > 0
    kept = [scores[row, labels[labels >= 0]] for row, labels in enumerate(mined.labels)]
    known = [row for row in range(len(queries)) if true[row].any() and len(kept[row])]
    report = negatives_report(queries, prototypes, relevance, mined)
    assert report["positive_similarity"] == pytest.approx(scores[true].mean(), abs=1e-6)
    assert report["negative_similarity"] == pytest.approx(np.concatenate(kept).mean(), abs=1e-6)
    assert report["hardest_negative_similarity"] == pytest.approx(np.mean([max(kept[r]) for r in known]), abs=1e-6)
    assert report["violation_rate"] == pytest.approx(np.mean([max(kept[r]) > scores[r][true[r]].max() for r in known]))
    assert "negatives_changed" not in report
    before = np.roll(mined.labels, 1, axis=1)
    before[:, 0] = 99
    again = negatives_report(queries, prototypes, relevance, mined, previous=before)
    lost = sum(labels[-1] >= 0 for labels in mined.labels)
    assert again["negatives_changed"] == pytest.approx(lost / (mined.labels >= 0).sum())


def test_clusters_are_compared_with_those_before() -> None:
    queries, _, _, relevance = world(4)
    rng = np.random.default_rng(0)
    clusters, previous = (np.array_split(rng.permutation(30), parts) for parts in (4, 3))
    report = clusters_report(queries.astype(np.float16), relevance, clusters, previous)
    pure, apart = oracle.neighbour_shares(clusters, relevance, previous)
    assert report["cluster_purity"] == pytest.approx(pure)
    assert report["neighbours_changed"] == pytest.approx(apart)
    cohesion = sum(np.linalg.norm(queries[cluster].sum(axis=0)) for cluster in clusters) / 30
    assert report["cluster_cohesion"] == pytest.approx(cohesion, abs=1e-3)
    assert (report["clusters"], report["cluster_size"]) == (4, 7.5)
    assert clusters_report(queries, relevance, clusters, clusters)["neighbours_changed"] == 0
    assert "neighbours_changed" not in clusters_report(queries, relevance, clusters)


def test_changed_share_ignores_order_and_padding() -> None:
    now, before = np.array([[1, 2, -1], [4, 5, 6]]), np.array([[2, 1, 7], [6, 9, -1]])
    assert changed_share(now, before) == pytest.approx(2 / 5)
    assert changed_share(np.full((1, 2), -1), before[:1]) == 0


def test_a_query_without_negatives_is_left_out_of_the_rates() -> None:
    queries, prototypes, _, relevance = world(5)
    none, without = np.full((30, 2), -1, np.int32), np.full((30, 2), -np.inf, np.float32)
    nothing = Mined(none, without, ragged([[]] * 30), 1.0)
    report = negatives_report(queries, prototypes, relevance, nothing)
    assert (report["violation_rate"], report["negative_similarity"], report["near_duplicates"]) == (0.0, 0.0, 1.0)
