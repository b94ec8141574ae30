"""Labels are added, changed and removed without training."""

from __future__ import annotations

import json
import shutil
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from vixml.core.directories import WorkDirectory, publish
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.params.retrieval import LabelUpdateParams, RetrievalParams
from vixml.serving import labels
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, label_prototypes_for, update_labels

PARAMS = LabelUpdateParams(neighbours=3)


@pytest.fixture
def bundle(models):
    return PredictorBundle.open(models / "encoder_vision")


def apply(bundle, tmp_path, changes, params=PARAMS):
    built, report = update_labels(bundle, changes, params, WorkDirectory(tmp_path / "work"))
    publish(built, tmp_path / "updated")
    return PredictorBundle.open(tmp_path / "updated"), report


def as_given(bundle, uid):
    """Text and images of a label that is there, as a file of labels would give them."""
    row = bundle.labels.set_index("uid").loc[uid]
    return row["text"], list(row["images"])


def test_add_update_and_remove_in_one_go(bundle, root, tmp_path):
    changes = LabelChanges(
        added={"new-1": ("a red vase", ["images/q1.png"]), "new-2": ("no picture", [])},
        updated={"L003": ("a teapot", [])},
        removed=["L000", "L047"],
        image_root=root,
    )
    before = bundle.label_prototypes.copy()
    updated, report = apply(bundle, tmp_path, changes)
    assert report.pop("ledger")["files"] == []
    assert report == {"added": 2, "updated": 1, "removed": 2, "labels_before": 48, "labels": 48}
    labels = updated.labels
    assert labels["uid"].tolist() == [f"L{n:03d}" for n in range(1, 47)] + ["new-1", "new-2"]
    assert labels["trained_row"].tolist() == [*range(1, 47), -1, -1]
    assert labels["frequency"].tolist() == [2] * 46 + [0, 0], "of how many training queries"
    assert labels["text"][2] == "a teapot"
    del bundle.__dict__["labels"]  # as it is read again from a bundle of an earlier version
    table = bundle._table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(bundle), "_table", lambda _, name: table(name).drop(columns="frequency", errors="ignore"))
        assert bundle.labels["frequency"].tolist() == [0] * 48
    del bundle.__dict__["labels"]
    assert labels["images"][46].tolist() == [str(root / "images/q1.png")]

    same = np.array([row for row in range(46) if row != 2])
    np.testing.assert_array_equal(updated.label_prototypes[same], before[same + 1])
    assert np.abs(updated.label_prototypes[2] - before[3]).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(updated.label_prototypes, axis=1), 1, atol=1e-5)

    expected = bundle.train_relevance.toarray()[:, 1:47]
    np.testing.assert_array_equal(updated.train_relevance.toarray()[:, :46], expected)
    assert not updated.train_relevance.toarray()[:, 46:].any()

    # the model is linked, not copied, and the first bundle is as it was
    weights = "model/model.safetensors"
    assert (updated.folder / weights).stat().st_ino == (bundle.folder / weights).stat().st_ino
    bundle.sealed.verify()
    updated.sealed.verify()


def test_an_added_label_is_found_and_a_removed_one_is_not(bundle, root, tmp_path):
    from vixml import Predictor

    changes = LabelChanges(added={"new": ("a red vase", ["images/q1.png"])}, removed=["L007"], image_root=root)
    updated, _ = apply(bundle, tmp_path, changes)
    predictor = Predictor.open(updated.folder, device="cpu")
    found = predictor.predict(["a red vase"], images=[root / "images/q1.png"], k=48)[0]
    assert "new" in found.label_ids
    assert "L007" not in found.label_ids
    assert len(found) == 48


@pytest.mark.parametrize("uid", ["L003", "L005"])  # with a picture and without
def test_a_label_updated_with_what_it_was_stays_what_it_was(bundle, root, tmp_path, uid):
    """Its own free vector and centroid count, not a neighbour's."""
    updated, _ = apply(bundle, tmp_path, LabelChanges(updated={uid: as_given(bundle, uid)}, image_root=root))
    np.testing.assert_allclose(updated.label_prototypes, bundle.label_prototypes, atol=1e-5)


def test_a_twin_of_a_trained_label_gets_its_prototype(bundle, root, tmp_path):
    """Its nearest trained label is that label."""
    params = LabelUpdateParams(free="nearest", centroid="nearest")
    changes = LabelChanges(added={"twin": as_given(bundle, "L003")}, image_root=root)
    updated, _ = apply(bundle, tmp_path, changes, params)
    np.testing.assert_allclose(updated.label_prototypes[-1], bundle.label_prototypes[3], atol=1e-5)


@pytest.mark.parametrize("free", ["nearest", "mean", "zero"])
@pytest.mark.parametrize("centroid", ["nearest", "mean", "zero"])
def test_borrowed_vectors_equal_a_loop(bundle, free, centroid):
    model = bundle.encoder(device="cpu").model
    side = model.label_side
    with torch.no_grad():
        side.centroids.copy_(torch.randn(side.centroids.shape, generator=torch.Generator().manual_seed(0)))
    known = np.array(bundle.label_texts)
    new = known[[4, 9]] + 0.2 * known[[20, 30]]
    pooled = 3 * new / np.linalg.norm(new, axis=1, keepdims=True)
    params = LabelUpdateParams(free=free, centroid=centroid, neighbours=4, temperature=0.3)
    rows = np.arange(48)
    found = label_prototypes_for(model, pooled, np.array([-1, -1]), known, rows, params)
    for text, prototype in zip(pooled, found, strict=True):
        similarity = known @ text / 3
        near = np.argsort(-similarity)[:4]
        weights = np.exp(similarity[near] / 0.3)
        weights /= weights.sum()
        vectors = []
        for how, table in ((free, side.free.table.weight[side.free.of_label]), (centroid, side.centroids)):
            values = table.detach().numpy()[near]
            mean = sum(w * v for w, v in zip(weights, values, strict=True))
            vectors.append({"nearest": values[0], "mean": mean, "zero": np.zeros(16, np.float32)}[how])
        inputs = (torch.from_numpy(np.asarray(v, dtype=np.float32))[None] for v in (text, *vectors))
        with torch.inference_mode():
            np.testing.assert_allclose(prototype, side.combiner(*inputs)[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("free", ["nearest", "mean", "zero"])
def test_an_unseen_label_borrows_how_far_fitting_moved_its_neighbours(bundle, free):
    """As it borrows their free vectors; a trained label keeps its own offset."""
    model = bundle.encoder(device="cpu").model
    known = np.array(bundle.label_texts)
    params = LabelUpdateParams(free=free, neighbours=4, temperature=0.3)
    asked = (model, 3 * known[[4, 9]], np.array([-1, 7]), known, np.arange(48), params)
    before = label_prototypes_for(*asked)
    model.label_side.offsets = torch.randn(48, 16, generator=torch.Generator().manual_seed(0))
    offsets = model.label_side.offsets.numpy()
    similarity = known @ known[4]
    near = np.argsort(-similarity)[:4]
    weights = np.exp(similarity[near] / 0.3)
    mean = (weights[:, None] * offsets[near]).sum(axis=0) / weights.sum()
    borrowed = {"nearest": offsets[near[0]], "mean": mean, "zero": np.zeros(16)}[free]
    for found, start, moved in zip(label_prototypes_for(*asked), before, (borrowed, offsets[7]), strict=True):
        np.testing.assert_allclose(found, (start + moved) / np.linalg.norm(start + moved), atol=1e-5)


@pytest.mark.parametrize("kind", ["auxiliary", "text"])
def test_a_label_side_without_centroids_borrows_what_it_has(bundle, kind):
    """DEXA: the sum with the nearest label's auxiliary vector, or a trained label's own. Text: the text itself."""
    from vixml.models.dual import DualModel
    from vixml.models.label_side import make_label_side
    from vixml.params.model import PrototypeParams

    embedder = bundle.encoder(device="cpu").model.embedder
    model = DualModel(embedder, make_label_side(kind, 16, PrototypeParams(), num_labels=48)).eval()
    known = np.array(bundle.label_texts)
    params = LabelUpdateParams(free="nearest", centroid="nearest")
    found = label_prototypes_for(model, 3 * known[[4, 9]], np.array([-1, 7]), known, np.arange(48), params)
    if kind == "text":
        np.testing.assert_allclose(found, known[[4, 9]], atol=1e-6)
    else:
        expected = known[[4, 9]] + model.label_side.free.table.weight.detach().numpy()[[4, 7]]
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_changes_can_be_changed_again(bundle, root, tmp_path):
    first, _ = apply(bundle, tmp_path / "a", LabelChanges(added={"new": ("a red vase", [])}, image_root=root))
    changes = LabelChanges(updated={"new": ("a blue vase", [])}, added={"newer": ("a mug", [])}, removed=["L001"])
    second, report = apply(first, tmp_path / "b", changes)
    assert report["labels"] == 49
    assert second.labels["uid"].tolist()[-2:] == ["new", "newer"]
    # an added label is never taken for a trained one: both equal a single step
    changes = LabelChanges(added={"new": ("a blue vase", []), "newer": ("a mug", [])}, removed=["L001"])
    at_once, _ = apply(bundle, tmp_path / "c", changes)
    np.testing.assert_allclose(second.label_prototypes, at_once.label_prototypes, atol=1e-6)


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_a_blended_ranking_survives(root, tmp_path, kind):
    shop = sys.modules["serving_shop"]
    retrieval = RetrievalParams.model_validate({"kind": kind, "augmentation": {"mode": "split", "depth": 10}})
    shop.make_predictor(root, tmp_path / "models", "encoder_text", retrieval)
    bundle = PredictorBundle.open(tmp_path / "models" / "encoder_text")
    updated, _ = apply(bundle, tmp_path, LabelChanges(added={"new": ("a red vase", [])}, removed=["L000"]))
    queries = np.array(updated.label_texts[:5])
    _, found = updated.ranker().search(queries, 10)
    before = bundle.ranker().search(queries, 10)[1] - 1  # rows move up by the removed first label
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, before, strict=True)]) > 8


def test_impossible_changes_are_refused(bundle, tmp_path):
    for changes, message in (
        (LabelChanges(added={"L001": ("x", [])}), "exists already"),
        (LabelChanges(updated={"nope": ("x", [])}), "does not exist"),
        (LabelChanges(removed=["nope"]), "does not exist"),
        (LabelChanges(updated={"L001": ("x", [])}, removed=["L001"]), "both updated and removed"),
        (LabelChanges(removed=bundle.labels["uid"].tolist()), "no label would be left"),
    ):
        with pytest.raises(DataError, match=message):
            apply(bundle, tmp_path, changes)


def test_an_id_of_a_file_means_the_label_that_is_there_however_it_is_written(bundle, tmp_path):
    numbered, _ = apply(bundle, tmp_path, LabelChanges(added={"7": ("a mug", []), "8": ("a hat", [])}))
    with pytest.raises(DataError, match="exists already"):
        apply(numbered, tmp_path / "again", LabelChanges(added={"7.0": ("x", [])}))
    changes = LabelChanges(updated={"7.0": ("a lamp", [])}, removed=[" 8", "L001\u200b"])
    updated, report = apply(numbered, tmp_path / "changed", changes)
    texts = dict(zip(updated.labels["uid"], updated.labels["text"], strict=True))
    assert texts["7"] == "a lamp"
    assert not {"8", "7.0", "L001"} & set(texts)
    assert (report["updated"], report["removed"]) == (1, 2)


def test_files_of_labels(bundle, root, tmp_path):
    shutil.copytree(root / "images", tmp_path / "images")
    lines = [{"id": "n1", "text": "mug", "images": ["images/q1.png"]}, {"id": 7, "text": "clock"}]
    (tmp_path / "add.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (tmp_path / "update.csv").write_text("id,text\nL002,a sofa\n", encoding="utf-8")
    (tmp_path / "remove.csv").write_text("id\nL004\nL005\n", encoding="utf-8")
    params = LabelUpdateParams(**{name: str(next(tmp_path.glob(f"{name}.*"))) for name in ("add", "update", "remove")})
    changes = LabelChanges.read(params)
    assert changes.added == {"n1": ("mug", ["images/q1.png"]), "7": ("clock", [])}
    assert changes.updated == {"L002": ("a sofa", [])}
    assert changes.removed == ["L004", "L005"]
    updated, _ = apply(bundle, tmp_path, changes)
    assert updated.labels["uid"].tolist()[-2:] == ["n1", "7"]


def test_bad_files_of_labels_are_named(bundle, root, tmp_path):
    with pytest.raises(ConfigError, match="nothing to change"):
        LabelChanges.read(LabelUpdateParams())
    file = tmp_path / "add.csv"
    file.write_text("id,text\na,x\na,y\n", encoding="utf-8")
    with pytest.raises(DataError, match="twice"):
        LabelChanges.read(LabelUpdateParams(add=str(file)))
    file.write_text("id,text\n7,x\n7.0,y\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"twice.*7, 7\.0"):
        LabelChanges.read(LabelUpdateParams(add=str(file)))
    for image in ("../secret.png", "images/none.png"):
        with pytest.raises(DataError, match="gives no picture"):
            apply(bundle, tmp_path, LabelChanges(added={"a": ("x", [image])}, image_root=root))


def test_a_bundle_that_is_torn_or_lacks_training_queries_says_so(models, tmp_path):
    with pytest.raises(StateError, match="no complete output"):
        PredictorBundle.open(tmp_path)
    shutil.copytree(models / "encoder_text" / "predictor", tmp_path / "torn")
    (tmp_path / "torn" / "labels.parquet").unlink()
    with pytest.raises(StateError, match="missing or torn"):
        PredictorBundle.open(tmp_path / "torn")


def test_vectors_of_many_labels_are_never_all_in_memory(tmp_path, monkeypatch):
    """Kept ones in their order, changed and added ones in their places, block by block."""
    old, rng = np.random.default_rng(0).random((20_000, 64), dtype=np.float32), np.random.default_rng(1)
    np.save(tmp_path / "old.npy", old)
    kept = np.sort(rng.choice(20_000, 19_000, replace=False))
    changed = np.append(np.sort(rng.choice(19_000, 40, replace=False)), np.arange(19_000, 19_100))
    vectors = rng.random((140, 64), dtype=np.float32)
    expected = np.concatenate([old[kept], np.zeros((100, 64), np.float32)])
    expected[changed] = vectors
    monkeypatch.setattr(labels, "_BLOCK", 700)
    mapped = np.load(tmp_path / "old.npy", mmap_mode="r")
    tracemalloc.start()
    labels._write_vectors(tmp_path / "new.npy", mapped, kept, 100, changed, vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), expected)
    assert peak < old.nbytes / 5
