"""Baselines: what they predict on catalogues small enough to check by hand, and the published figures on real data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from vixml.evaluation.baselines import (
    Validation,
    _tfidf,
    baseline_metrics,
    image_neighbours,
    most_frequent,
    text_neighbours,
)
from vixml.images.bank import ImageBank
from vixml.params.evaluation import BaselineParams, EvaluationParams

PARAMS = BaselineParams(tune=False, neighbours=2, query_block=2)
EVALUATION = EvaluationParams(ks=(1, 2), top_k=3)


def _csr(*rows: list[int], labels: int) -> sparse.csr_matrix:
    dense = np.zeros((len(rows), labels), dtype=np.float32)
    for row, columns in enumerate(rows):
        dense[row, columns] = 1
    return sparse.csr_matrix(dense)


def _bank(folder: Path, vectors: np.ndarray, **sides: list[list[int]]) -> ImageBank:
    np.save(folder / "vectors.npy", vectors.astype(np.float16))
    for side, rows in sides.items():
        np.save(folder / f"{side}_rows.npy", np.array([row for item in rows for row in item], dtype=np.int64))
        np.save(folder / f"{side}_offsets.npy", np.cumsum([0, *map(len, rows)]))
    return ImageBank.open(folder)


def test_the_most_frequent_labels_lose_no_place_to_the_filter() -> None:
    top = most_frequent(np.array([1, 9, 5, 5]), _csr([1], [], [0, 1, 2], labels=4), 3)
    np.testing.assert_array_equal(top, [[2, 3, 0], [1, 2, 3], [3, -1, -1]])


def test_similar_texts_are_found() -> None:
    train = ["red cotton shirt", "blue denim trousers", "green wool socks", "red silk shirt"]
    test = ["shirt red cotton", "wool sock", "", "denim"]
    similarity, rows = text_neighbours(train, test, BaselineParams(tune=False, neighbours=9))
    assert rows[:2, 0].tolist() == [0, 2]
    assert rows.shape == (4, 4)
    assert (similarity[2] == 0).all()
    assert text_neighbours(["", "?"], ["a"], PARAMS)[0].tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("neighbours", [1, 7, 20, 5000])
@pytest.mark.parametrize("num_train", [15, 900, 9000])
def test_text_neighbours_are_bit_for_bit_those_of_the_whole_product(neighbours: int, num_train: int) -> None:
    """Also where many texts are equal, so that the last places are shared, and where hardly any score is positive."""
    generator = np.random.default_rng(num_train)
    words = ["".join(generator.choice(list("abcdefghij"), size)) for size in generator.integers(2, 7, 80)]
    train, test = (
        [" ".join(generator.choice(words, size)) for size in generator.integers(0, 5, num)] for num in (num_train, 40)
    )
    test = [*test, "", "zzz", train[0]]
    train_terms, test_terms = _tfidf(train, test)
    scores = (test_terms @ train_terms.T.tocsr()).toarray()
    k = min(neighbours, num_train)
    best = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    found = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    similarity, rows = text_neighbours(train, test, BaselineParams(tune=False, neighbours=neighbours))
    np.testing.assert_array_equal(similarity, np.take_along_axis(found, order, axis=1))
    np.testing.assert_array_equal(rows, np.take_along_axis(best, order, axis=1))


def test_similar_pictures_are_found_and_an_item_without_any_has_no_neighbour(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    kinds = generator.normal(size=(5, 8))
    vectors = np.concatenate([kinds + 0.01 * generator.normal(size=(5, 8)) for _ in range(4)])
    train = [[kind, kind + 5] for kind in range(5)] + [[]]
    bank = _bank(tmp_path, vectors, train=train, test=[[12], [], [14, 19]])
    similarity, rows = image_neighbours(bank, PARAMS, np.arange(3))
    assert rows[[0, 2], 0].tolist() == [2, 4]
    assert (similarity[[0, 2], 0] > 0.9).all()
    assert (similarity[1] == 0).all()


def test_pictures_help_where_words_do_not(tmp_path: Path) -> None:
    train = pd.DataFrame({"text": ["red shirt", "red shirt", "blue sock"]})
    test = pd.DataFrame({"text": ["red shirt", "blue sock"]})
    relevance = _csr([0], [1], [2], labels=4)
    vectors = np.array([[1.0, 0.0, 0.2], [0.0, 1.0, 0.1], [0.5, 0.5, 1.0], [0.02, 1.0, 0.1]])
    common = {
        "relevance_train": relevance,
        "relevance_test": _csr([1], [2], labels=4),
        "filter_test": _csr([], [], labels=4),
        "params": PARAMS,
        "evaluation": EVALUATION,
    }
    bank = _bank(tmp_path, vectors, train=[[0], [1], [2]], test=[[3], []])
    results = baseline_metrics(train, test, **common, bank=bank)
    assert list(results) == ["label frequency", "text kNN", "linear tree", "image kNN", "text + image kNN"]
    assert results.pop("linear tree")["P@1"] >= 0.5, "the sock, and perhaps the shirt"
    assert [results[name]["P@1"] for name in results] == [0.0, 0.5, 0.5, 1.0]
    assert list(baseline_metrics(train, test, **common)) == ["label frequency", "text kNN", "linear tree"]
    common["filter_test"] = _csr([0], [2], labels=4)
    filtered = baseline_metrics(train, test, **common)["text kNN"]
    assert (filtered["P@1"], filtered["R@2"]) == (0.5, 0.5)


def test_settings_are_tuned_on_validation_queries(tmp_path: Path) -> None:
    """Images decide here: with the fixed weight the text votes win, tuned the images do; also where training queries
    stand in, none of which is its own neighbour."""
    generator = np.random.default_rng(0)
    kinds = generator.normal(size=(6, 16))
    kind = generator.integers(0, 6, 160)
    vectors = kinds[kind] + 0.8 * generator.normal(size=(160, 16))
    texts = [f"{word} thing" for word in generator.choice(["red", "blue", "green"], 160)]
    relevance = _csr(*[[label] for label in kind], labels=6)
    sides = {"train": slice(0, 90), "validation": slice(90, 120), "test": slice(120, 160)}
    bank = _bank(tmp_path, vectors, **{name: [[row] for row in range(160)][rows] for name, rows in sides.items()})

    def measure(params: BaselineParams, *, split: bool = True) -> dict[str, dict[str, float]]:
        rows = sides["validation"]
        return baseline_metrics(
            *(pd.DataFrame({"text": texts[sides[name]]}) for name in ("train", "test")),
            relevance_train=relevance[sides["train"]],
            relevance_test=relevance[sides["test"]],
            filter_test=_csr(*[[]] * 40, labels=6),
            params=params,
            evaluation=EVALUATION,
            bank=bank,
            validation=Validation(texts[rows], relevance[rows], _csr(*[[]] * 30, labels=6)) if split else None,
        )

    fixed = measure(BaselineParams(tune=False, neighbours=2, power=1.0, image_weight=0.05))
    for split in (True, False):
        tuned = measure(BaselineParams(neighbours=2, power=1.0, image_weight=0.05), split=split)
        assert tuned["image kNN"]["P@1"] >= fixed["image kNN"]["P@1"]
        assert tuned["text + image kNN"]["P@1"] > fixed["text + image kNN"]["P@1"] + 0.1
        assert tuned["text + image kNN"]["P@1"] >= tuned["image kNN"]["P@1"] - 0.1


def test_validation_queries_are_training_queries_once_settings_are_tuned(tmp_path: Path) -> None:
    """Label 3 occurs among the validation queries alone: every baseline finds it there, as the variants do."""
    texts = ["red shirt", "red shirt", "blue sock", "green hat", "green hat"]
    vectors = np.eye(5, 6)
    vectors[4] = vectors[3]
    results = baseline_metrics(
        pd.DataFrame({"text": texts[:3]}),
        pd.DataFrame({"text": texts[4:]}),
        relevance_train=_csr([0], [1], [2], labels=4),
        relevance_test=_csr([3], labels=4),
        filter_test=_csr([], labels=4),
        params=PARAMS,
        evaluation=EVALUATION,
        bank=_bank(tmp_path, vectors, train=[[0], [1], [2]], validation=[[3]], test=[[4]]),
        validation=Validation([texts[3]], _csr([3], labels=4), _csr([], labels=4)),
    )
    assert {name: metrics["P@1"] for name, metrics in results.items() if name != "label frequency"} == dict.fromkeys(
        ("text kNN", "linear tree", "image kNN", "text + image kNN"), 1.0
    )


def test_some_queries_are_measured_as_if_there_were_no_others(tmp_path: Path) -> None:
    """The metrics say on how many; as many as there are, or more, change nothing."""
    generator = np.random.default_rng(0)
    words = ["red", "blue", "shirt", "sock", "hat"]
    texts = [" ".join(generator.choice(words, 3)) for _ in range(40)]
    train, test = pd.DataFrame({"text": texts[:30]}), pd.DataFrame({"text": texts[30:]})
    matrices = [_csr(*generator.integers(0, 6, (num, 2)).tolist(), labels=6) for num in (30, 10, 10)]
    vectors = generator.normal(size=(40, 8))
    images = [[row] for row in range(40)]

    def measure(rows: slice, most: int | None, folder: str) -> dict[str, dict[str, float]]:
        (tmp_path / folder).mkdir(exist_ok=True)
        return baseline_metrics(
            train,
            test[rows],
            relevance_train=matrices[0],
            relevance_test=matrices[1][rows],
            filter_test=matrices[2][rows],
            params=BaselineParams(tune=False, neighbours=4, max_queries=most),
            evaluation=EVALUATION,
            bank=_bank(tmp_path / folder, vectors, train=images[:30], test=images[30:][rows]),
        )

    every, all_of_them = slice(None), measure(slice(None), None, "all")
    assert measure(every, 10, "all") == measure(every, 99, "all") == all_of_them
    assert "queries" not in all_of_them["text kNN"]
    alone = measure(slice(None, None, 2), None, "half")
    assert len(alone) == 5
    assert measure(every, 5, "all") == {name: {**metrics, "queries": 5.0} for name, metrics in alone.items()}


def _lines(file: Path) -> list[dict]:
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def test_published_figures_on_real_data(shared_dir: Path) -> None:
    root = shared_dir / "data" / "mm-icontags"
    published = json.loads((root / "baselines.json").read_text(encoding="utf-8"))
    train, test, num_labels = (
        _lines(root / "trn.json.gz"),
        _lines(root / "tst.json.gz"),
        len(_lines(root / "lbl.json.gz")),
    )
    pairs = np.loadtxt(root / "filter_labels_test.txt", dtype=np.int64)
    texts = [pd.DataFrame({"text": [f"{row['title']} {row['content']}" for row in side]}) for side in (train, test)]
    results = baseline_metrics(
        *texts,
        relevance_train=_csr(*(row["target_ind"] for row in train), labels=num_labels),
        relevance_test=_csr(*(row["target_ind"] for row in test), labels=num_labels),
        filter_test=sparse.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(len(test), num_labels)),
        params=BaselineParams(
            tune=False,
            linear_tree=False,
        ),
        evaluation=EvaluationParams(),
    )
    for ours, theirs in {"label frequency": "most frequent labels", "text kNN": "text kNN (title+content)"}.items():
        for name in ("P@1", "P@5", "PSP@5", "R@10"):
            assert 100 * results[ours][name] == pytest.approx(published[theirs][name], abs=1.0), (ours, name)
