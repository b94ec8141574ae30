"""Training queries are scored by others alone, hidden pairs come first, and a killed run goes on."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from vixml.audit import unseen
from vixml.audit.proposals import missing_pairs, wrong_pairs
from vixml.core.errors import DataError
from vixml.params.data.audit import LabelAuditParams
from vixml.ranking.features import Described
from vixml.ranking.fit_evidence import Labelled

PARAMS = LabelAuditParams.model_validate(
    {
        "folds": 3,
        "min_support": 3,
        "evidence": {
            "classifier": {"sketch_dim": 64},
            "spaces": {"weights": [1.0], "rounds": 1},
            "blend": {"weights": [0.0, 1.0], "sharpness": [1.0], "tails": [0.0], "rounds": 1},
        },
        "calibration": {"min_pairs": 10, "folds": 2},
    }
)
WORDS = ("shirt", "sock", "hat", "lamp", "chair", "vase")


def _shop(num=240, hidden=12, added=8):
    """Return queries that name one of six things, each with two labels; a few pairs are hidden, a few are wrong."""
    rng = np.random.default_rng(0)
    thing = rng.integers(0, len(WORDS), num)
    truth = np.zeros((num, 2 * len(WORDS)), dtype=np.float32)
    truth[np.arange(num), thing] = truth[np.arange(num), len(WORDS) + thing] = 1
    shown = truth.copy()
    lost = rng.choice(num, hidden, replace=False)
    shown[lost, thing[lost]] = 0
    wrong = rng.choice(num, added, replace=False)
    shown[wrong, (thing[wrong] + 1) % len(WORDS)] = 1
    texts = [f"{WORDS[one]} number {rng.integers(9)}" for one in thing]
    relevance = sp.csr_matrix(shown)
    items = Described(texts, np.ones((num, 1), dtype=np.float32))
    none = sp.csr_matrix(relevance.shape, dtype=np.float32)
    pairs = set(zip(lost, thing[lost], strict=True)), set(zip(wrong, (thing[wrong] + 1) % len(WORDS), strict=True))
    return Labelled(items, relevance, none), *pairs


def _scores(train, work, params=PARAMS):
    texts = [f"{word} {side}" for side in ("one", "two") for word in WORDS]
    same = {"label_texts": texts, "weights": np.ones(12), "params": params, "max_queries": params.max_queries}
    return unseen.unseen_scores(train, work=work, **same)


def test_hidden_pairs_and_wrong_ones_are_found(tmp_path):
    train, hidden, added = _shop()
    scores, facts = _scores(train, tmp_path)
    assert facts["queries_audited"] == 240
    missing = missing_pairs(scores, train.relevance, len(hidden))
    assert len(hidden & set(zip(missing.rows, missing.labels, strict=True))) >= 10
    wrong = wrong_pairs(scores, train.relevance, len(added), min_support=3)
    assert len(added & set(zip(wrong.rows, wrong.labels, strict=True))) >= 6


def test_a_query_is_no_evidence_about_itself(tmp_path):
    """A label that one query alone has is never found: nothing but the query itself tells of it."""
    train, _, _ = _shop()
    dense = train.relevance.toarray()
    dense[:, 5] = 0
    dense[77, 5] = 1
    alone = Labelled(train.items, sp.csr_matrix(dense), train.exclude)
    params = PARAMS.model_copy(update={"evidence": PARAMS.evidence.model_copy(update={"classifier": None})})
    scores, _ = _scores(alone, tmp_path, params)
    at = scores.labels[77] == 5
    others = np.nan_to_num(scores.probabilities[77][at]).max(initial=0)
    assert others < 0.2


def test_a_killed_run_goes_on_at_its_fold(tmp_path, monkeypatch):
    train, _, _ = _shop()
    ranked, calls = unseen._ranked, []

    def dies(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ranked(*args)

    monkeypatch.setattr(unseen, "_ranked", dies)
    with pytest.raises(KeyboardInterrupt):
        _scores(train, tmp_path)
    calls[:] = [1] * 5
    again, _ = _scores(train, tmp_path)
    assert len(calls) == 7, "two of three folds"
    whole, _ = _scores(train, tmp_path / "new")
    np.testing.assert_array_equal(again.labels, whole.labels)
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)


def test_some_queries_are_audited_and_all_are_evidence(tmp_path):
    train, _, _ = _shop()
    scores, facts = _scores(train, tmp_path, PARAMS.model_copy(update={"max_queries": 50}))
    assert len(scores.rows) == facts["queries_audited"] == 50
    assert scores.rows[0] == 0
    assert scores.rows[-1] == 239
    assert np.isfinite(scores.probabilities[:, 0]).all()


def test_too_little_to_learn_from(tmp_path):
    train, _, _ = _shop()
    with pytest.raises(DataError, match="too few training queries"):
        _scores(train.take(np.arange(2)), tmp_path)
    with pytest.raises(DataError, match="too few pairs"):
        _scores(train.take(np.arange(9)), tmp_path)
