"""The Python interface: typed answers, filters, explanations, the same scores alone, in any batch, in any thread."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vixml import Predictor
from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.params.prediction import PredictionParams
from vixml.params.retrieval import RetrievalParams
from vixml.serving.batch import predict_file
from vixml.serving.bundle import PredictorBundle

TEXTS = ["red vase", "blue shoe", "", "a  black   clock " * 20, "grüner Stuhl \ud800"]


@pytest.fixture
def images(root):
    """Every form an image may have, and none."""
    file = root / "images" / "L7.png"
    picture = Image.open(file)
    buffer = io.BytesIO()
    picture.convert("L").save(buffer, "JPEG")
    return [file, [str(file), buffer.getvalue()], None, picture.convert("RGBA"), []]


def test_a_prediction_is_typed_sorted_and_named(predictor, images):
    found = predictor.predict(TEXTS, images=images, k=4)
    assert [len(prediction) for prediction in found] == [4] * len(TEXTS)
    labels = predictor.labels
    for prediction in found:
        assert list(prediction.scores) == sorted(prediction.scores, reverse=True)
        assert [labels["uid"][row] for row in prediction.rows] == list(prediction.label_ids)
        assert [labels["text"][row] for row in prediction.rows] == list(prediction.texts)
        assert all(-1.0001 <= score <= 1.0001 for score in prediction.scores)


def test_scores_are_the_inner_products(predictor):
    vectors = predictor.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    dense = vectors @ predictor.bundle.label_prototypes.T
    for row, prediction in zip(dense, predictor.predict(TEXTS, k=3), strict=True):
        np.testing.assert_allclose(prediction.scores, np.sort(row)[::-1][:3], atol=1e-6)


def test_the_same_alone_and_in_any_batch(predictor, images):
    together = predictor.embed(TEXTS * 9, images * 9)
    alone = np.concatenate([predictor.embed([text], [few]) for text, few in zip(TEXTS, images, strict=True)])
    np.testing.assert_allclose(together, np.tile(alone, (9, 1)), atol=1e-5)


def test_an_image_changes_the_answer_and_its_absence_does_not(predictor, images):
    with_image, without = predictor.embed(["red vase"], [images[0]]), predictor.embed(["red vase"])
    assert np.abs(with_image - without).max() > 1e-3
    np.testing.assert_array_equal(without, predictor.embed(["red vase"], [None]))
    np.testing.assert_array_equal(without, predictor.embed(["red vase"], [[]]))


def test_a_single_text_is_one_query(predictor):
    assert predictor.predict("red vase") == predictor.predict(["red vase"])


def test_threads_share_a_predictor(predictor, images):
    queries = [(text, few) for text in TEXTS for few in images]
    expected = [predictor.predict([text], images=[few]) for text, few in queries]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: predictor.predict([query[0]], images=[query[1]]), queries * 3))
    for want, got in zip(expected * 3, found, strict=True):
        assert want[0].label_ids == got[0].label_ids
        np.testing.assert_allclose(want[0].scores, got[0].scores, atol=1e-5)


def test_neighbours_explain(predictor):
    text, image = "red vase <q>", None
    (nearest,) = predictor.explain([text], images=[image], k=3)
    assert len(nearest) == 3
    assert nearest[0].query_id == "q000"
    assert nearest[0].text == text
    assert nearest[0].similarity == pytest.approx(1, abs=1e-3)
    assert nearest[0].label_ids == ("L000", "L001")
    assert nearest[0].label_texts == ("red vase <L>", "green vase <L>")


def test_mistakes_are_named(predictor, models, tmp_path):
    with pytest.raises(DataError, match="differ in number"):
        predictor.predict(["a", "b"], images=[None])
    with pytest.raises(ConfigError, match="at least one label"):
        predictor.predict(["a"], k=0)
    with pytest.raises(DataError, match=r"image of item 1 gives no picture.*missing"):
        predictor.predict(["a", "b"], images=[None, tmp_path / "nothing.png"])
    with pytest.raises(DataError, match="Found: no image"):
        predictor.predict(["a"], images=[b"no image"])
    with pytest.raises(StateError, match="no complete output"):
        Predictor.open(tmp_path)


@pytest.mark.parametrize(
    "texts", [None, 5, b"red vase", {"text": "red vase"}, {"red vase"}, pd.DataFrame({"text": ["red vase"]})]
)
def test_texts_that_are_not_one_a_query_are_named(predictor, texts):
    with pytest.raises(DataError, match="texts are not one a query"):
        predictor.predict(texts)


@pytest.mark.parametrize("text", [None, float("nan"), 5, b"red", ["red", "vase"]])
def test_a_text_that_is_none_is_named(predictor, text):
    with pytest.raises(DataError, match="not a text"):
        predictor.predict(["red vase", text])


def test_texts_of_other_kinds_of_lists_are_the_same(predictor):
    expected = predictor.predict(["red vase", "blue shoe"])
    frame = pd.Series(["red vase", "blue shoe"], index=[7, 3])
    for texts in (("red vase", "blue shoe"), np.array(["red vase", "blue shoe"]), frame, iter(frame)):
        assert predictor.predict(texts) == expected
    assert len(predictor.predict("red vase", k=10**12)[0]) == predictor.num_labels


@pytest.mark.parametrize(
    "image", [5, float("nan"), {"bytes": b"", "path": "a.png"}, [["a.png"]], np.zeros((4, 4, 3), np.uint8), object()]
)
def test_an_image_that_is_none_is_named(predictor, image):
    with pytest.raises(DataError, match=r"not an image.*PIL image"):
        predictor.predict(["red vase"], images=[image])


@pytest.mark.parametrize("images", ["a.png", {0: "a.png"}, Image.new("RGB", (4, 4)), np.zeros((1, 4, 4, 3))])
def test_images_that_are_not_one_a_query_are_named(predictor, images):
    with pytest.raises(DataError, match="images are not one a query"):
        predictor.predict(["red vase"], images=images)


def test_bytes_of_any_kind_and_open_files_are_the_same_image(predictor, root):
    content = (root / "images" / "L7.png").read_bytes()
    kinds = [content, bytearray(content), memoryview(content), io.BytesIO(content), [None, content]]
    vectors = predictor.embed(["red vase"] * len(kinds), kinds)
    np.testing.assert_allclose(vectors, vectors[:1].repeat(len(kinds), axis=0), atol=1e-6)


def test_unreadable_images_can_count_as_absent(predictor, images):
    failures = []
    found = predictor.embed(["a", "b"], [[b"", images[0]], b"no image"], failures=failures)
    assert failures == [(0, "empty"), (1, "no image")]
    np.testing.assert_allclose(found, predictor.embed(["a", "b"], [images[0], None]), atol=1e-6)


def test_a_text_model_passes_images_over(models, images):
    predictor = Predictor.open(models / "encoder_text")
    assert not predictor.uses_images
    np.testing.assert_array_equal(predictor.embed(TEXTS, images), predictor.embed(TEXTS))


@pytest.mark.parametrize("mode", ["split", "joint"])
def test_a_blended_ranking_is_used_and_filtered(root, tmp_path, mode):
    from serving_shop import make_predictor

    retrieval = RetrievalParams(augmentation={"mode": mode, "depth": 10})
    make_predictor(root, tmp_path, "encoder_text", retrieval)
    predictor = Predictor.open(tmp_path / "encoder_text")
    (blended,) = predictor.predict(["red vase <q>"], k=40)
    assert max(blended.scores) <= 1
    (denied,) = predictor.predict(["red vase <q>"], k=40, deny=[blended.label_ids[0]])
    assert blended.label_ids[0] not in denied.label_ids
    (allowed,) = predictor.predict(["red vase <q>"], k=40, allow=blended.label_ids[3:5])
    assert set(allowed.label_ids) == set(blended.label_ids[3:5])


def test_exact_search_beside_an_approximate_index(root, tmp_path):
    pytest.importorskip("faiss")
    from serving_shop import make_predictor

    make_predictor(root, tmp_path, "encoder_text", RetrievalParams(kind="faiss-ivf", ivf_lists=12, ivf_probes=1))
    approximate = Predictor.open(tmp_path / "encoder_text")
    exact = Predictor.open(tmp_path / "encoder_text", exact=True)
    vectors = exact.embed(TEXTS)
    dense = np.sort(vectors @ exact.bundle.label_prototypes.T, axis=1)[:, ::-1]
    np.testing.assert_allclose(exact.rank(vectors, 48)[0], dense, atol=1e-6)
    assert (approximate.rank(vectors, 48)[1] < 0).any(), "one list of twelve cannot hold every label"
    (denied,) = approximate.predict(TEXTS[:1], k=48, deny=["L000"])
    assert len(denied) == 47, "a restricted search is exact"


def test_it_needs_neither_kedro_nor_mlflow(models):
    code = (
        "import sys; from vixml import Predictor\n"
        f"print(len(Predictor.open({str(models / 'encoder_text')!r}).predict('red vase', k=3)[0]))\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'kedro', 'mlflow', 'fastapi'}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[:2] == ["3", "[]"]


@pytest.fixture(scope="module")
def with_prior(root, tmp_path_factory):
    """The same model, whose labels have been seen once (the first) or twice."""
    folder = tmp_path_factory.mktemp("prior")
    shop = sys.modules["serving_shop"]
    shop.make_predictor(root, folder, "encoder_vision", RetrievalParams(imageless_prior=0.7))
    return Predictor.open(folder / "encoder_vision", device="cpu")


def test_frequent_labels_are_favoured_where_there_is_no_image(predictor, with_prior, images, root):
    expected, found = (one.predict(TEXTS, images=images, k=48) for one in (predictor, with_prior))
    prior = 0.7 * np.log([2.0] + [3.0] * 47)
    for few, plain, ours in zip(images, expected, found, strict=True):
        missing = few is None or few == []
        scores = {row: score + missing * prior[row] for row, score in zip(plain.rows, plain.scores, strict=True)}
        assert list(ours.rows) == sorted(scores, key=lambda row: -scores[row])
        np.testing.assert_allclose(ours.scores, [scores[row] for row in ours.rows], atol=1e-5)
    broken = root / "no-picture.png"
    broken.write_bytes(b"no picture")
    failures: list[tuple[int, str]] = []
    one, other = (with_prior.search(["red vase"], few, 5, failures=failures)[1:] for few in ([[str(broken)]], [[]]))
    assert failures, "an image that cannot be read counts as absent"
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_allclose(one[0], other[0], atol=1e-6)


def test_files_are_predicted_with_the_prior(with_prior, tmp_path):
    """As the same queries by hand."""
    file = tmp_path / "queries.csv"
    file.write_text("id,text\na,red vase\nb,blue shoe\n", encoding="utf-8")
    built, _ = predict_file(with_prior, PredictionParams(queries=str(file), k=3), WorkDirectory(tmp_path / "work"))
    found = pd.read_parquet(built.path / "predictions.parquet")
    expected = with_prior.predict(["red vase", "blue shoe"], k=3)
    assert found["label_id"].tolist() == [uid for one in expected for uid in one.label_ids]
    np.testing.assert_allclose(found["score"], [score for one in expected for score in one.scores], atol=1e-5)


def test_a_server_stores_its_network_as_training_does(models, monkeypatch):
    """Where half precision is asked for and frozen weights are stored in it (a GPU), as they are in `embed_all`."""
    monkeypatch.setattr("vixml.models.precision.stores_half", lambda device, precision: precision == "bf16")
    bundle = PredictorBundle.open(models / "encoder_text")
    half, full = bundle.encoder(device="cpu", precision="bf16"), bundle.encoder(device="cpu")
    assert {weight.dtype for weight in half.model.embedder.backbone.parameters()} == {torch.bfloat16}
    assert {weight.dtype for weight in full.model.parameters()} == {torch.float32}
    texts = ["a red vase", "a green lamp"]
    assert (half.embed(texts) * full.embed(texts)).sum(axis=1).min() > 0.99
