"""Label vectors in a table and in indexes of four sizes; what each keeps is measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vixml.export.vectors import recall, write_indexes, write_table

faiss = pytest.importorskip("faiss", reason="faiss is not installed (extra `cpu`)")


def _cloud(count, seed):
    """Return unit vectors in clusters, as embeddings of titles are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(40, 64))
    vectors = centres[rng.integers(0, 40, count)] + 0.8 * rng.normal(size=(count, 64))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_table_holds_ids_texts_and_vectors(tmp_path):
    labels = pd.DataFrame({"uid": ["007", "ä"], "text": ["a | b", "<x>"], "frequency": [3, 0]})
    vectors = _cloud(2, 0)
    write_table(labels, vectors, tmp_path / "labels.parquet")
    found = pd.read_parquet(tmp_path / "labels.parquet")
    assert found["label_id"].tolist() == ["007", "ä"]
    assert found["text"].tolist() == ["a | b", "<x>"]
    assert found["training_queries"].tolist() == [3, 0]
    np.testing.assert_array_equal(np.stack(found["vector"].tolist()), vectors)


def test_indexes_keep_what_they_say(tmp_path):
    vectors, queries = _cloud(1500, 1), _cloud(200, 2)
    report = {one["form"]: one for one in write_indexes(vectors, queries, tmp_path)}
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    for form in ("float32", "float16", "int8"):
        index = faiss.read_index(str(tmp_path / report[form]["file"]))
        assert index.ntotal == 1500
        found = index.search(queries, 10)[1]
        expected = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)])
        assert report[form]["recall@10"] == pytest.approx(expected, abs=1e-3)
        assert report[form]["bytes"] == (tmp_path / report[form]["file"]).stat().st_size
    assert report["float32"]["recall@10"] > 0.999
    assert report["float16"]["recall@10"] > 0.995
    assert report["int8"]["recall@10"] > 0.97
    binary = report["binary, then float"]
    assert faiss.read_index_binary(str(tmp_path / binary["file"])).ntotal == 1500
    assert binary["recall@10"] > 0.7
    assert binary["bytes"] < report["int8"]["bytes"] / 4


def test_fewer_labels_than_depths(tmp_path):
    report = write_indexes(_cloud(7, 3), _cloud(5, 4), tmp_path)
    assert [name for name in report[0] if "@" in name] == ["recall@1"]
    assert report[0]["recall@1"] == 1


def test_recall_against_sets():
    rng = np.random.default_rng(0)
    found, exact = (np.stack([rng.permutation(20)[:6] for _ in range(30)]) for _ in range(2))
    expected = np.mean([len(set(a) & set(b)) / 6 for a, b in zip(found, exact, strict=True)])
    assert recall(found, exact) == pytest.approx(expected)
