"""Evaluation of rankings, from published embeddings to the document of results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.worlds import EVALUATION, NUM_LABELS, NUM_TRAIN, published, run

from vixml.core.directories import WorkDirectory
from vixml.core.errors import StateError
from vixml.evaluation import search, stages
from vixml.metrics.propensity import inverse_propensity
from vixml.metrics.ranking import ranking_metrics
from vixml.params.variant import VariantParams
from vixml.retrieval.exact import top_k


def plain_metrics(world):
    sides, poor, _ = world
    frequencies = np.diff(sides["train"][1].tocsc().indptr)
    _, top = top_k(sides["test"][0], poor, 10)
    return ranking_metrics(top, sides["test"][1], inverse_propensity(frequencies, NUM_TRAIN, 0.55, 1.5), EVALUATION.ks)


def test_a_prior_for_queries_without_an_image(world, tmp_path):
    """Those with an image are ranked as ever, the others by similarity and frequency; no image, no prior."""
    sides, poor, _ = world
    document, predictions = run(world, tmp_path / "a", {"imageless_prior": 0.2}, model={"use_images": True})
    assert document["metrics_plain"] == pytest.approx(plain_metrics(world))
    scores = sides["test"][0] @ poor.T
    scores[1::2] += 0.2 * np.log1p(np.diff(sides["train"][1].tocsc().indptr))
    expected = np.argsort(-scores, axis=1)[:, :10]
    np.testing.assert_array_equal(np.load(predictions.path / "labels.npy"), expected)
    assert (expected[1::2] != np.argsort(-sides["test"][0][1::2] @ poor.T, axis=1)[:, :10]).any()
    document, _ = run(world, tmp_path / "b", {"imageless_prior": 0.2}, model={"use_images": False})
    assert document["metrics"] == pytest.approx(plain_metrics(world))


def test_embeddings_that_do_not_tell_who_has_an_image(world, tmp_path, monkeypatch):
    """Of an earlier version: fine without a prior, an error that says what to do with one."""
    monkeypatch.setattr(search, "IMAGELESS", "not-there.npy")
    run(world, tmp_path / "a", {}, model={"use_images": True})
    with pytest.raises(StateError, match="lack the no-image mask"):
        run(world, tmp_path / "b", {"imageless_prior": 0.2}, model={"use_images": True})


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_the_plain_ranking(world, tmp_path, kind):
    document, predictions = run(world, tmp_path, {"kind": kind})
    slices = document["slices"]
    images = [slices["queries"][name] for name in ("with image", "without image")]
    assert np.mean([part["P@1"] for part in images]) == pytest.approx(document["metrics"]["P@1"])
    assert slices["never_predicted"]["@5"] == pytest.approx(
        1 - len(np.unique(np.load(predictions.path / "labels.npy")[:, :5])) / NUM_LABELS
    )
    assert document["metrics"] == pytest.approx(plain_metrics(world))
    assert "metrics_plain" not in document
    assert document["ranking"] == "none"
    assert np.load(predictions.path / "labels.npy").shape == (60, 10)
    assert {path.name for path in (tmp_path / "index").iterdir() if path.is_dir()} == set()


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
@pytest.mark.parametrize("mode", ["split", "joint"])
def test_training_queries_help_where_prototypes_are_poor(world, tmp_path, kind, mode):
    """Both results are reported, and the blend is better here whatever the index."""
    augmentation = {"mode": mode, "depth": 20, "query_weight": 0.5}
    document, _ = run(world, tmp_path, {"kind": kind, "augmentation": augmentation})
    assert document["metrics_plain"] == pytest.approx(plain_metrics(world))
    assert document["metrics"]["P@1"] > document["metrics_plain"]["P@1"] + 0.03


def test_candidate_indexes_are_measured(world, tmp_path):
    from vixml.params.retrieval import IndexReportParams
    from vixml.reporting.index_figure import recall_and_speed

    embeddings = published(world, tmp_path)
    params = VariantParams.model_validate({"training": {"device": "cpu"}})
    settings = IndexReportParams.model_validate(
        {"ks": [1, 10], "candidates": [{"kind": "exact"}, {"kind": "faiss-flat"}]}
    )
    rows = stages.measure_indexes(settings, params, embeddings, WorkDirectory(tmp_path / "w"))
    assert [row["recall@10"] for row in rows] == pytest.approx([1.0, 1.0])
    figure = recall_and_speed(pd.DataFrame(rows))
    assert list(figure.data[0].text) == ["exact", "faiss-flat"]
    assert list(figure.data[0].y) == [row["recall@10"] for row in rows]
