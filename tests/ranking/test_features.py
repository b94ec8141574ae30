"""Features of texts and vectors: unit rows, what is missing stays missing, and what is saved comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vixml.core.errors import ConfigError, DataError, StateError
from vixml.ranking.lexical import LexicalFeatures
from vixml.ranking.similarity import Items
from vixml.ranking.whitening import Whitening

TEXTS = ["red cotton shirt", "red silk shirt", "blue wool socks", "", "red cotton"]


def test_texts_that_share_words_are_similar_and_unknown_ones_are_zero() -> None:
    features = LexicalFeatures.fit(TEXTS)
    train, new = features.apply(TEXTS), features.apply(["cotton shirt", "zzz", ""])
    assert set(train) == {"words", "parts"}
    for kind, rows in train.items():
        norms = np.sqrt(rows.multiply(rows).sum(axis=1)).A1
        # no part of the third text's words is in another text: such parts are left out
        np.testing.assert_allclose(norms, [1, 1, kind == "words", 0, 1], atol=1e-6)
        similarity = (new[kind] @ rows.T).toarray()
        assert similarity[0, 0] > similarity[0, 2]
        assert not similarity[1:].any()


@given(st.lists(st.text(alphabet="abAB é\t\u3000.1", max_size=30), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
@example(["red red wool shirt", "a", "ab abc", "", "Red  wool"])
def test_features_are_those_of_scikit_learn(texts: list[str]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    kinds = {"words": {"ngram_range": (1, 2)}, "parts": {"analyzer": "char_wb", "ngram_range": (3, 5), "min_df": 2}}
    found = LexicalFeatures.fit(texts)
    new = [*texts, "abba aab", " ".join(texts)]
    for kind, options in kinds.items():
        vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options)
        try:
            vectorizer.fit(texts)
        except ValueError:  # no term at all
            assert kind not in found.terms
            continue
        assert found.terms[kind] == vectorizer.get_feature_names_out().tolist()
        np.testing.assert_allclose(found.apply(new)[kind].toarray(), vectorizer.transform(new).toarray(), atol=1e-5)


def test_features_come_back_from_a_folder(tmp_path: Path) -> None:
    features = LexicalFeatures.fit(TEXTS)
    features.save(tmp_path)
    again = LexicalFeatures.open(tmp_path)
    for kind, rows in features.apply(TEXTS).items():
        np.testing.assert_array_equal(again.apply(TEXTS)[kind].toarray(), rows.toarray())
    np.save(tmp_path / "weights_words.npy", np.ones(1, dtype=np.float32))
    with pytest.raises(StateError, match="disagree"):
        LexicalFeatures.open(tmp_path)


def test_texts_without_any_term_have_no_features() -> None:
    features = LexicalFeatures.fit(["", "?"])
    assert features.apply(["red"]) == {}


def test_only_so_many_terms_are_kept() -> None:
    assert LexicalFeatures.fit(TEXTS, max_terms=3).apply(TEXTS)["words"].shape == (5, 3)


def test_whitened_vectors_have_directions_that_count_alike(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(4000, 6)) * [9, 3, 1, 1, 1, 1] + 5
    whitening = Whitening.fit(vectors, floor=1e-9)
    rows = whitening.apply(vectors)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(rows.T))
    assert variances.max() < 3 * variances.min()
    whitening.save(tmp_path / "whitening.npz")
    np.testing.assert_array_equal(Whitening.open(tmp_path / "whitening.npz").apply(vectors), rows)
    assert Whitening.fit(vectors, dims=2).apply(vectors).shape == (4000, 2)


def test_a_missing_vector_stays_missing_and_teaches_nothing() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(50, 4))
    with_missing = np.concatenate([vectors, np.zeros((50, 4))])
    rows = Whitening.fit(with_missing).apply(with_missing)
    assert not rows[50:].any()
    np.testing.assert_allclose(rows[:50], Whitening.fit(vectors).apply(vectors), atol=1e-5)
    assert not Whitening.fit(np.zeros((3, 4))).apply(np.zeros((2, 4))).any()


def test_wrong_widths_and_files_are_named(tmp_path: Path) -> None:
    whitening = Whitening.fit(np.eye(4))
    with pytest.raises(DataError, match="3 numbers a vector"):
        whitening.apply(np.eye(3))
    with pytest.raises(StateError, match=r"nothing\.npz"):
        Whitening.open(tmp_path / "nothing.npz")


def test_spaces_that_do_not_fit_together_are_an_error() -> None:
    blocks = {"a": np.eye(3, dtype=np.float32), "b": np.eye(2, 3, dtype=np.float32)}
    with pytest.raises(DataError, match="number of items"):
        Items.join(blocks, {"a": 1, "b": 1})
    with pytest.raises(ConfigError, match="above 0"):
        Items.join(blocks, {"a": 0})
    assert len(Items.join(blocks, {"a": 1})) == 3
