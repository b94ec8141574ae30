"""Classifiers: against scikit-learn label by label, the gradient at the solution, blocks, and a run that is killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import classifier as oracle

from vixml.classifier import ridge
from vixml.classifier.features import classifier_features
from vixml.classifier.ridge import train_classifiers
from vixml.core.errors import DataError
from vixml.params.classifier import ClassifierParams


def _problem(seed: int, num: int = 60, width: int = 7, labels: int = 11) -> tuple[np.ndarray, sp.csr_matrix]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(num, width)).astype(np.float32)
    relevance = (generator.random((num, labels)) < 0.1).astype(np.float32)
    relevance[:, -1] = 0  # a label without a training query
    return features, sp.csr_matrix(relevance)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 2.0, 30.0]), st.integers(1, 12), st.integers(1, 70))
def test_weights_are_those_of_one_regression_for_each_label(
    seed: int, strength: float, label_block: int, row_block: int
) -> None:
    features, relevance = _problem(seed)
    params = ClassifierParams(ridge=strength, label_block=label_block, row_block=row_block)
    weights = train_classifiers(features, relevance, params)
    np.testing.assert_allclose(weights, oracle.train_classifiers(features, relevance, strength), atol=1e-4)
    assert not weights[-1].any()


def test_the_gradient_vanishes_and_graded_relevance_is_the_target() -> None:
    features, relevance = _problem(3)
    relevance.data *= np.random.default_rng(0).random(relevance.nnz).astype(np.float32)
    weights = train_classifiers(features, relevance, ClassifierParams(ridge=1.5))
    residual = features @ weights.T - relevance.toarray()
    np.testing.assert_allclose(features.T @ residual + 1.5 * weights.T, 0, atol=1e-3)


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, relevance = _problem(1)
    params = ClassifierParams(label_block=3)
    solved: list[int] = []
    sums = ridge._sums

    def until_the_third(targets: sp.csr_matrix, *rest: object) -> np.ndarray:
        if len(solved) == 2:
            raise KeyboardInterrupt
        solved.append(targets.shape[0])
        return sums(targets, *rest)

    monkeypatch.setattr(ridge, "_sums", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        train_classifiers(features, relevance, params, work=tmp_path)
    rest: list[int] = []
    monkeypatch.setattr(ridge, "_sums", lambda targets, *more: (rest.append(targets.shape[0]), sums(targets, *more))[1])
    weights = train_classifiers(features, relevance, params, work=tmp_path)
    assert rest == [3, 2]
    np.testing.assert_array_equal(weights, train_classifiers(features, relevance, params))
    rest.clear()
    train_classifiers(features, relevance, params, work=tmp_path)
    assert rest == []
    train_classifiers(features[::-1], relevance, params, work=tmp_path)
    assert rest == [3, 3, 3, 2], "other inputs start again"


def test_bad_inputs_are_named() -> None:
    features, relevance = _problem(0)
    with pytest.raises(DataError, match="59 rows of features"):
        train_classifiers(features[1:], relevance, ClassifierParams())
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="not a finite number"):
        train_classifiers(features, relevance, ClassifierParams())


def test_hashed_terms_keep_their_inner_products() -> None:
    generator = np.random.default_rng(0)
    terms = sp.random_array((30, 5000), density=0.01, format="csr", rng=generator, dtype=np.float32)
    terms = sp.csr_matrix(sp.diags_array(1 / np.sqrt(terms.multiply(terms).sum(axis=1))) @ terms)
    dense = np.eye(30, 4, dtype=np.float32)
    features = classifier_features({"words": terms, "a": dense}, ClassifierParams(sketch_dim=4096))
    assert features.shape == (30, 4 + 4096 + 1)
    np.testing.assert_array_equal(features[:, :4], dense)
    assert (features[:, -1] == 1).all()
    hashed = features[:, 4:-1]
    np.testing.assert_allclose(hashed @ hashed.T, (terms @ terms.T).toarray(), atol=0.12)
    again = classifier_features({"a": dense[:7], "words": terms[:7]}, ClassifierParams(sketch_dim=4096))
    np.testing.assert_array_equal(again, features[:7])
    assert classifier_features({"words": terms, "a": dense}, ClassifierParams(sketch_dim=0)).shape == (30, 5)


def test_spaces_of_different_lengths_are_an_error() -> None:
    with pytest.raises(DataError, match="number of items"):
        classifier_features({"a": np.eye(2), "b": np.eye(3)}, ClassifierParams())
    with pytest.raises(DataError, match="no space"):
        classifier_features({}, ClassifierParams())
