"""Blends and their fit: against the definition, never below the best part, and no weight for what is of no use."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import blend as oracle

from vixml.core.errors import ConfigError, DataError
from vixml.metrics.ranking import ranking_metrics
from vixml.params.ranking import BlendFitParams, BlendParams, PartParams
from vixml.ranking import fitting
from vixml.ranking.blend import TEMPERATURE, Evidence, blend
from vixml.ranking.fitting import changed, fit_blend
from vixml.retrieval.augmentation import sparse_top_k

QUICK = BlendFitParams(weights=(0.0, 0.25, 1.0, 4.0), sharpness=(0.5, 1.0, 2.0), tails=(0.0, 0.3), rounds=2)


def _evidence(generator: np.random.Generator, shape: tuple[int, int], density: float = 0.4) -> np.ndarray:
    return (generator.random(shape) * (generator.random(shape) < density)).astype(np.float32)


def _noisy(truth: np.ndarray, noise: float, generator: np.random.Generator) -> Evidence:
    """Return evidence that knows the truth up to noise."""
    scores = truth + noise * generator.random(truth.shape)
    return Evidence(sp.csr_matrix(scores.astype(np.float32)))


def _problem(seed: int, num: int = 120, labels: int = 40) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    generator = np.random.default_rng(seed)
    frequency = 0.02 + 0.3 * generator.random(labels) ** 4
    truth = (generator.random((num, labels)) < frequency).astype(np.float32)
    truth[np.arange(num), generator.integers(0, labels, num)] = 1
    return truth, 1 + 4 * generator.random(labels), generator


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 2.5]), st.sampled_from([0.0, 0.4]))
def test_a_blend_is_its_definition(seed: int, sharpness: float, tail: float) -> None:
    generator = np.random.default_rng(seed)
    dense = {name: _evidence(generator, (5, 9)) for name in "abc"}
    params = BlendParams(
        parts={
            "a": PartParams(weight=1.0, sharpness=sharpness, tail=tail, scale=0.5),
            "b": PartParams(weight=0.3, sharpness=2.0),
            "c": PartParams(weight=0.0),
        }
    )
    weights = 1 + generator.random(9)
    parts = {name: Evidence(sp.csr_matrix(values), mass=name == "b") for name, values in dense.items()}
    expected = oracle.blend(dense, frozenset("b"), params, weights)
    np.testing.assert_allclose(blend(parts, params, weights).toarray(), expected, rtol=1e-4, atol=1e-6)
    del parts["c"]
    np.testing.assert_allclose(blend(parts, params, weights).toarray(), expected, rtol=1e-4, atol=1e-6)


def test_missing_evidence_is_named() -> None:
    with pytest.raises(DataError, match="Found: b"):
        blend({}, BlendParams(parts={"b": PartParams(weight=1.0)}), np.ones(3))


def test_a_softmax_divides_one_unit_and_padding_gets_nothing() -> None:
    found = np.array([[0.9, 0.8, -np.inf], [-np.inf] * 3], dtype=np.float32), np.array([[2, 0, -1], [-1] * 3])
    evidence = Evidence.of_similarities(found, 4)
    params = BlendParams(parts={"a": PartParams(weight=1.0, sharpness=2.0)})
    scores = blend({"a": evidence}, params, np.ones(4)).toarray()
    expected = np.exp(np.array([0.8, 0.9]) * 2 / TEMPERATURE)
    np.testing.assert_allclose(scores[0, [0, 2]], expected / expected.sum(), rtol=1e-4)
    assert scores[0, [1, 3]].tolist() == [0, 0]
    assert not scores[1].any()


def test_only_the_strongest_labels_and_no_excluded_pair_are_left() -> None:
    evidence = Evidence(sp.csr_matrix(np.array([[3, 1, 2, 0], [1, 1, 1, 1]], dtype=np.float32)))
    assert evidence.strongest(2).scores.toarray().tolist() == [[3, 0, 2, 0], [1, 1, 0, 0]]
    pairs = sp.csr_matrix(np.array([[1, 0, 0, 1], [0, 0, 0, 5]]))
    assert evidence.without(pairs).scores.toarray().tolist() == [[0, 1, 2, 0], [1, 1, 1, 0]]
    assert evidence.top().tolist() == [3, 1]


@pytest.mark.parametrize("seed", range(6))
def test_the_blend_is_never_below_its_best_part_and_noise_gets_no_weight(seed: int) -> None:
    truth, weights, generator = _problem(seed)
    parts = {
        "good": _noisy(truth, 1.5, generator),
        "fair": _noisy(truth, 2.5, generator),
        "noise": Evidence(sp.csr_matrix(generator.random(truth.shape).astype(np.float32))),
    }
    fitted, report = fit_blend(parts, sp.csr_matrix(truth), weights, BlendFitParams())
    gain = np.mean([report["metrics"][name] / report["parts"]["good"]["alone"][name] for name in report["metrics"]])
    assert gain >= 1
    assert report["best_part"] == "good"
    assert fitted.parts["noise"].weight <= 0.06 * fitted.parts["good"].weight
    assert fitted.parts["fair"].weight > 0, "two independent views are better than one"
    assert report["parts"]["good"]["worth"]["P@5"] > report["parts"]["fair"]["worth"]["P@5"] > 0


def test_what_is_measured_is_what_the_ranking_does() -> None:
    truth, weights, generator = _problem(9)
    parts = {name: _noisy(truth, noise, generator) for name, noise in (("a", 1.2), ("b", 1.4))}
    parts["c"] = Evidence(parts["a"].scores.copy(), mass=True)
    fitted, report = fit_blend(parts, sp.csr_matrix(truth), weights, QUICK)
    _, top = sparse_top_k(blend(parts, fitted, weights), 10)
    metrics = ranking_metrics(top, sp.csr_matrix(truth), weights, (1, 5, 10))
    for name, value in report["metrics"].items():
        assert metrics[name] == pytest.approx(value, abs=1e-9)
    again, _ = fit_blend(parts, sp.csr_matrix(truth), weights, QUICK)
    assert again == fitted


def test_a_copy_of_a_part_gets_no_weight() -> None:
    truth, weights, generator = _problem(4)
    one = _noisy(truth, 1.5, generator)
    fitted, report = fit_blend({"one": one, "copy": one}, sp.csr_matrix(truth), weights, QUICK)
    assert sorted(part.weight > 0 for part in fitted.parts.values()) == [False, True]
    assert all(worth == 0 for part in report["parts"].values() for worth in part["worth"].values())


def test_a_blend_that_does_not_hold_on_other_queries_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, weights, generator = _problem(5)
    parts = {name: _noisy(truth, noise, generator) for name, noise in (("a", 1.2), ("b", 1.4))}
    monkeypatch.setattr("vixml.ranking.fitting._expected", lambda *_: {"gain": -0.1})
    fitted, report = fit_blend(parts, sp.csr_matrix(truth), weights, QUICK)
    assert [part.weight for part in fitted.parts.values()] == [1.0, 0.0]
    assert report["metrics"] == report["parts"]["a"]["alone"]


def test_rare_labels_are_not_bought_with_first_places() -> None:
    """A part that knows the rare labels only is a large gain of PSP; what it costs at the top counts for more."""
    generator = np.random.default_rng(0)
    truth = np.zeros((300, 60), dtype=np.float32)
    truth[np.arange(300), generator.integers(0, 5, 300)] = 1
    truth[np.arange(300), generator.integers(5, 60, 300)] = 1
    weights = np.where(np.arange(60) < 5, 1.0, 20.0)
    head, tail = truth.copy(), truth.copy()
    head[:, 5:] = 0
    tail[:, :5] = 0
    wrong = generator.random(300) < 0.6
    tail[wrong] = np.roll(tail[wrong], 7, axis=1)
    tail[:, :5] = 0
    parts = {name: Evidence(sp.csr_matrix(block)) for name, block in (("head", head), ("tail", tail))}
    _, report = fit_blend(parts, sp.csr_matrix(truth), weights, BlendFitParams())
    assert report["metrics"]["P@1"] == 1
    assert report["metrics"]["PSP@5"] > report["parts"]["head"]["alone"]["PSP@5"] + 0.1


@pytest.mark.parametrize(("seed", "weights_first"), [(1, False), (4, True)])
def test_the_better_of_two_ways_to_begin_counts(seed: int, weights_first: bool) -> None:
    truth, weights, generator = _problem(seed)
    parts = {name: _noisy(truth, noise, generator) for name, noise in (("a", 1.2), ("b", 1.4), ("c", 2.0))}
    params = BlendFitParams(rounds=1)
    table = fitting._Table.of(parts, sp.csr_matrix(truth), weights)
    _, chosen = fitting._fit(table, params)
    better, worse = (
        fitting._climb(fitting._Fit(table, params, chosen.singles), weights_first=first).value
        for first in (weights_first, not weights_first)
    )
    assert better > worse, "the two ways end differently here"
    assert chosen.value == better


def test_an_excluded_pair_is_not_ranked_while_the_blend_is_fitted() -> None:
    truth = sp.csr_matrix(np.array([[0, 1, 0], [0, 0, 1]], dtype=np.float32))
    part = Evidence(sp.csr_matrix(np.array([[0.9, 0.1, 0], [0.9, 0, 0.1]], dtype=np.float32)), mass=True)
    first = sp.csr_matrix(np.array([[1, 0, 0], [1, 0, 0]], dtype=np.float32))
    assert fit_blend({"only": part}, truth, np.ones(3), QUICK)[1]["metrics"]["P@1"] == 0
    assert fit_blend({"only": part}, truth, np.ones(3), QUICK, exclude=first)[1]["metrics"]["P@1"] == 1


def test_one_query_and_one_part_are_enough() -> None:
    truth = sp.csr_matrix(np.array([[0, 1, 0]], dtype=np.float32))
    part = Evidence(sp.csr_matrix(np.array([[0.2, 0.1, 0]], dtype=np.float32)))
    fitted, report = fit_blend({"only": part}, truth, np.ones(3), QUICK)
    assert fitted.parts["only"].weight == 1
    assert report["metrics"]["R@10"] == 1
    nothing = Evidence(sp.csr_matrix((1, 3), dtype=np.float32))
    assert fit_blend({"empty": nothing}, truth, np.ones(3), QUICK)[1]["metrics"]["R@10"] == 0


def test_mistakes_are_named() -> None:
    truth, weights, generator = _problem(0)
    with pytest.raises(ConfigError, match="no evidence"):
        fit_blend({}, sp.csr_matrix(truth), weights, QUICK)
    with pytest.raises(ConfigError, match="XY@3"):
        fit_blend(
            {"a": _noisy(truth, 1, generator)},
            sp.csr_matrix(truth),
            weights,
            QUICK.model_copy(update={"metrics": ("P@1", "XY@3")}),
        )
    assert changed(BlendParams(parts={"a": PartParams()}), "a", weight=2.0).parts["a"].weight == 2
