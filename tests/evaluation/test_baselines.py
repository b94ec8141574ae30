"""Baselines: what they predict on catalogues small enough to check by hand, and the published figures on real data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from vixml.data.image_bank import ImageBank
from vixml.evaluation.baselines import baseline_metrics, image_neighbours, most_frequent, text_neighbours
from vixml.params.evaluation import BaselineParams, EvaluationParams

PARAMS = BaselineParams(neighbours=2, query_block=2)
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


def test_similar_texts_are_found_in_every_block_size() -> None:
    train = ["red cotton shirt", "blue denim trousers", "green wool socks", "red silk shirt"]
    test = ["shirt red cotton", "wool sock", "", "denim"]
    expected = text_neighbours(train, test, BaselineParams(neighbours=9))
    assert expected[1][:2, 0].tolist() == [0, 2]
    assert expected[1].shape == (4, 4)
    assert (expected[0][2] == 0).all()
    for block in (1, 3):
        found = text_neighbours(train, test, BaselineParams(neighbours=9, query_block=block))
        np.testing.assert_array_equal(found[1], expected[1])
    assert text_neighbours(["", "?"], ["a"], PARAMS)[0].tolist() == [[0.0, 0.0]]


def test_similar_pictures_are_found_and_an_item_without_any_has_no_neighbour(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    kinds = generator.normal(size=(5, 8))
    vectors = np.concatenate([kinds + 0.01 * generator.normal(size=(5, 8)) for _ in range(4)])
    train = [[kind, kind + 5] for kind in range(5)] + [[]]
    bank = _bank(tmp_path, vectors, train=train, test=[[12], [], [14, 19]])
    similarity, rows = image_neighbours(bank, PARAMS)
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
    assert list(results) == ["label frequency", "text kNN", "image kNN", "text + image kNN"]
    assert [results[name]["P@1"] for name in results] == [0.0, 0.5, 0.5, 1.0]
    assert list(baseline_metrics(train, test, **common)) == ["label frequency", "text kNN"]
    common["filter_test"] = _csr([0], [2], labels=4)
    filtered = baseline_metrics(train, test, **common)["text kNN"]
    assert (filtered["P@1"], filtered["R@2"]) == (0.5, 0.5)


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
        params=BaselineParams(),
        evaluation=EvaluationParams(),
    )
    for ours, theirs in {"label frequency": "most frequent labels", "text kNN": "text kNN (title+content)"}.items():
        for name in ("P@1", "P@5", "PSP@5", "R@10"):
            assert 100 * results[ours][name] == pytest.approx(published[theirs][name], abs=1.0), (ours, name)
