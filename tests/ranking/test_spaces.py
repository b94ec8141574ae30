"""Weights of feature spaces: one that tells nothing is left out, one that tells more counts more."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vixml.params.ranking import SpaceFitParams
from vixml.ranking.spaces import fit_space_weights


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _fit(seed: int, params: SpaceFitParams) -> tuple[dict[str, float], list[dict]]:
    """120 queries of 30 topics: `clear` shows the topic, `noise` nothing, `vague` a little."""
    generator = np.random.default_rng(seed)
    topics, sides = generator.normal(size=(30, 16)), {}
    for side, num in (("keys", 400), ("queries", 120)):
        topic = generator.integers(0, 30, num)
        clear = topics[topic] + 0.7 * generator.normal(size=(num, 16))
        vague = topics[topic] + 3 * generator.normal(size=(num, 16))
        blocks = {
            "clear": _unit(clear),
            "vague": sp.csr_matrix(_unit(vague)),
            "noise": _unit(generator.normal(size=(num, 3))),
        }
        sides[side] = blocks, sp.csr_matrix(np.eye(30, dtype=np.float32)[topic])
    return fit_space_weights(
        sides["queries"][0],
        sides["keys"][0],
        relevance=sides["queries"][1],
        key_relevance=sides["keys"][1],
        exclude=sp.csr_matrix((120, 30)),
        inverse_propensity=np.ones(30),
        params=params,
    )


def test_spaces_count_by_what_they_tell() -> None:
    weights, tried = _fit(0, SpaceFitParams(neighbours=20))
    assert weights["noise"] < 0.5 * weights["clear"]
    assert weights["vague"] <= weights["clear"]
    assert max(trial["gain"] for trial in tried) > 0.02
    assert _fit(0, SpaceFitParams(neighbours=20)) == (weights, tried)


def test_weights_stay_equal_where_nothing_is_gained() -> None:
    weights, _ = _fit(0, SpaceFitParams(neighbours=20, min_gain=9.0))
    assert set(weights.values()) == {1.0}


def test_excluded_pairs_are_not_counted() -> None:
    identity = np.eye(3, dtype=np.float32)
    weights, tried = fit_space_weights(
        {"a": identity},
        {"a": identity},
        relevance=sp.csr_matrix(identity),
        key_relevance=sp.csr_matrix(identity),
        exclude=sp.csr_matrix(identity),
        inverse_propensity=np.ones(3),
        params=SpaceFitParams(metrics=("P@1",)),
    )
    assert tried[0]["P@1"] == 0
    assert weights == {"a": 1.0}
