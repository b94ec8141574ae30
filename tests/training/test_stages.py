"""The stages on disk: killed anywhere and run again by the same commands, they end at the same numbers."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from torch.nn.functional import normalize

from vixml.core.directories import SealedDirectory, WorkDirectory, open_sealed, publish
from vixml.core.errors import ConfigError, StateError
from vixml.models.build import open_model
from vixml.negatives.table import MinedTable
from vixml.params.evaluation import EvaluationParams
from vixml.params.model import TinyParams
from vixml.params.variant import VariantParams
from vixml.training import stages
from vixml.training.encode import embed_all
from vixml.training.identity import trained_with
from vixml.training.loop import Trainer

PARAMS = VariantParams(
    backbone={"tiny": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 16, "vocab_size": 200}},
    model={"use_images": False, "prototype": {"num_heads": 2, "feedforward": 16, "free_vectors": 7}},
    batching={"batch_size": 16, "start_epoch": 2, "update_every": 1, "cluster_size": 4, "double_at": [3]},
    training={"epochs": 4, "checkpoint_every": 1, "device": "cpu"},
    optim={"precision": "fp32"},
)


class Killed(Exception):
    """Stands for the end of the process."""


def _items(count: int, side: str) -> pd.DataFrame:
    words = ["red", "blue", "vase", "lamp", "chair", "oak", "glass"]
    rng = np.random.default_rng(len(side))
    return pd.DataFrame(
        {
            "uid": [f"{side}{i}" for i in range(count)],
            "text": [" ".join(rng.choice(words, 3)) for _ in range(count)],
            "images": [[] for _ in range(count)],
        }
    )


def _inputs(folder: Path) -> stages.StageInputs:
    sizes = {"train": 50, "validation": 6, "test": 9, "label": 20}
    items = {side: _items(size, side) for side, size in sizes.items()}
    work = WorkDirectory(folder / "tokens_work")
    tokens = publish(stages.tokenise_sides(items, PARAMS.backbone, work), folder / "tokens")
    relevance = sp.csr_matrix(sp.random(50, 20, density=0.2, format="csr", random_state=1, dtype=np.float32))
    relevance.data[:] = 1
    relevance.sort_indices()
    held_out = sp.csr_matrix(relevance[:6])
    return stages.StageInputs(
        PARAMS, EvaluationParams(), 3, tokens, None, relevance, held_out, sp.csr_matrix((6, 20), dtype=np.float32)
    )


def _changed(inputs: stages.StageInputs, **groups: dict[str, object]) -> stages.StageInputs:
    """The same data with other settings."""
    settings = inputs.params.model_dump()
    merged = {name: {**settings[name], **changes} for name, changes in groups.items()}
    return dataclasses.replace(inputs, params=VariantParams(**{**settings, **merged}))


def _train(
    inputs: stages.StageInputs, folder: Path, *, resume: str = "auto"
) -> tuple[SealedDirectory, list[dict[str, float]]]:
    """Run the three training stages as the pipeline does."""
    work = WorkDirectory(folder / "work")
    warmup = publish(stages.train_warmup(inputs, work, resume=resume), folder / "warmup")
    built, _ = stages.refresh_hard_negatives(inputs, warmup, WorkDirectory(folder / "refresh_work"))
    hard_negatives = publish(built, folder / "hard_negatives")
    built, curve, refreshes = stages.train_hard(inputs, warmup, hard_negatives, work, resume=resume)
    start, epochs = inputs.params.batching.start_epoch, inputs.params.training.epochs
    assert [record["epoch"] for record in refreshes] == [start, *range(start + 1, epochs)]  # the exact one first
    assert all({"violation_rate", "cluster_purity", "seconds"} < record.keys() for record in refreshes)
    return publish(built, folder / "model"), curve


def _steps(curve: list[dict[str, float]]) -> list[tuple[tuple[str, float], ...]]:
    """Every record but its speed."""
    return [tuple((k, v) for k, v in record.items() if k != "queries_per_second") for record in curve]


@pytest.mark.parametrize("steps", [5, 11])  # four steps an epoch: in the warm-up, and in the hard stage
def test_killed_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The same weights' hash and the same curve as a run that was left alone; nothing done is done again."""
    inputs = _inputs(tmp_path)
    model, curve = _train(inputs, tmp_path / "whole")
    taken = 0
    step = Trainer._train_step

    def counted(self: Trainer, rows: np.ndarray) -> dict[str, object]:
        nonlocal taken
        if taken == steps:
            raise Killed
        taken += 1
        return step(self, rows)

    monkeypatch.setattr(Trainer, "_train_step", counted)
    with pytest.raises(Killed):
        _train(inputs, tmp_path / "killed")
    monkeypatch.setattr(Trainer, "_train_step", step)
    started_at: list[int] = []
    fit = Trainer.fit
    monkeypatch.setattr(
        Trainer, "fit", lambda self, until, desc: (started_at.append(self.step), fit(self, until, desc=desc))[1]
    )
    again, curve_again = _train(inputs, tmp_path / "killed")
    assert max(started_at) == steps // 4 * 4 if steps > 8 else started_at[0] == steps // 4 * 4
    assert again.files["model.safetensors"] == model.files["model.safetensors"]
    assert _steps(curve_again) == _steps(curve)
    stages.clear_checkpoints(WorkDirectory(tmp_path / "killed" / "work"))
    kept = {path.name for path in (tmp_path / "killed" / "work").iterdir()}
    assert kept == {"curve.jsonl", "refreshes.jsonl"}


def _stop_at(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let every trainer end before its step `steps`."""
    step = Trainer._train_step

    def limited(self: Trainer, rows: np.ndarray) -> dict[str, object]:
        if self.step == steps:
            raise Killed
        return step(self, rows)

    monkeypatch.setattr(Trainer, "_train_step", limited)


@pytest.mark.parametrize("steps", [3, 11])  # in the warm-up, and in the hard stage
def test_other_settings_are_named_forced_or_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, steps: int
) -> None:
    """A training that was killed and whose settings changed asks the user which of the two he wants."""
    inputs = _inputs(tmp_path)
    often = _changed(inputs, training={"checkpoint_minutes": 1e-12})  # a setting of speed
    with monkeypatch.context() as patch:
        _stop_at(patch, steps)
        with pytest.raises(Killed):
            _train(often, tmp_path / "run")
    other = _changed(inputs, optim={"lr": 3e-3})
    with pytest.raises(StateError, match=r"params\.optim\.lr: 0\.0002 -> 0\.003\."):
        _train(other, tmp_path / "run")
    begun_anew, _ = _train(other, tmp_path / "anew")
    started_at: list[int] = []
    fit = Trainer.fit
    monkeypatch.setattr(
        Trainer, "fit", lambda self, until, desc: (started_at.append(self.step), fit(self, until, desc=desc))[1]
    )
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    forced, _ = _train(other, tmp_path / "run", resume="force")
    assert started_at[-1 if steps > 8 else 0] == steps
    assert forced.files["model.safetensors"] != begun_anew.files["model.safetensors"]
    started_at.clear()
    assert "resume=never" not in caplog.text
    never, _ = _train(other, tmp_path / "copy", resume="never")
    assert started_at == [0, 8]
    assert "Leave it out of the next command" in caplog.text
    assert never.files["model.safetensors"] == begun_anew.files["model.safetensors"]


def test_an_unknown_way_to_resume_is_refused(tmp_path: Path) -> None:
    """The known ones are listed."""
    with pytest.raises(ConfigError, match="auto, force, never"):
        _train(_inputs(tmp_path), tmp_path, resume="sometimes")


def test_the_identity_holds_results_not_speed(tmp_path: Path) -> None:
    """Settings that change nothing about the weights do not keep a checkpoint from being continued."""
    inputs = _inputs(tmp_path)
    same = _changed(
        inputs,
        batching={"chunk_tokens": 64, "gradient_cache": True},
        training={"checkpoint_every": 7, "keep_checkpoints": 9, "log_every": 3},
        retrieval={"kind": "faiss-flat"},
    )
    assert same.identity == inputs.identity
    assert {"seed", "data.tokens", "data.relevance", "versions.torch", "params.optim.lr"} < inputs.identity.keys()
    assert _changed(inputs, batching={"batch_size": 8}).identity != inputs.identity


def test_every_free_vector_is_shared_evenly(tmp_path: Path) -> None:
    """Twenty labels on seven vectors: all are used, by two or three labels each."""
    model, _ = _train(_inputs(tmp_path), tmp_path / "run")
    from safetensors.numpy import load_file

    uses = np.bincount(load_file(model.path / "model.safetensors")["label_side.free.of_label"], minlength=7)
    assert sorted(set(uses.tolist())) == [2, 3]


def test_embeddings_of_the_trained_model(tmp_path: Path) -> None:
    """Test queries and prototypes come out as unit vectors."""
    inputs = _inputs(tmp_path)
    model, _ = _train(inputs, tmp_path / "run")
    built = stages.embed_test_and_labels(inputs, model, WorkDirectory(tmp_path / "embeddings_work"))
    for name, count in (("test_queries", 9), ("label_texts", 20), ("label_prototypes", 20)):
        vectors = np.load(built.path / f"{name}.npy")
        assert vectors.shape == (count, 16)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_model_of_other_settings_is_refused(tmp_path: Path) -> None:
    """Results stand under the run's settings: evaluating another's model names what differs."""
    inputs = _inputs(tmp_path)
    model, _ = _train(inputs, tmp_path / "run")
    other = _changed(inputs, backbone={"pooling": "last"}, objective={"name": "ngame"})
    with pytest.raises(StateError, match=r'backbone\.pooling: "mean" -> "last"; objective\.name: "prime" -> "ngame"'):
        stages.embed_test_and_labels(other, model, WorkDirectory(tmp_path / "other"))
    same = _changed(
        inputs,
        backbone={"gradient_checkpointing": True, "prompt": {"text": "no prompt is used"}},
        model={"late": {"num_heads": 4}},
        optim={"lr": 1.0},
    )
    stages.embed_test_and_labels(same, model, WorkDirectory(tmp_path / "same"))


def test_what_tells_models_apart() -> None:
    """A backbone by its name wherever it lies, its own size only where it is built here."""
    one, other = (VariantParams(backbone={"name": name}) for name in ("/a/minilm/", "/b/minilm"))
    assert trained_with(one) == trained_with(other)
    wide = other.model_copy(update={"backbone": other.backbone.model_copy(update={"tiny": TinyParams(num_layers=5)})})
    assert trained_with(wide) == trained_with(other)
    assert trained_with(VariantParams(backbone={"tiny": {"num_layers": 5}})) != trained_with(VariantParams())


def test_the_weight_of_images_tells_models_apart_where_it_counts() -> None:
    """A text-only model, and one whose embedding is the last position, are the same with any weight."""

    def differs(pooling: str = "mean", **model: object) -> bool:
        one, other = (
            VariantParams(backbone={"pooling": pooling}, model={"image_weight": weight, **model})
            for weight in (None, 3.0)
        )
        return trained_with(one) != trained_with(other)

    assert differs()
    assert differs("last", fusion="late")
    assert not differs("last")
    assert not differs(use_images=False)
    assert not differs(max_images=0)


def test_mined_labels_and_what_was_left_out_reach_the_hard_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the refresh published them; what does not have them is refused with the way on."""
    inputs = _changed(
        _inputs(tmp_path), batching={"mined_per_query": 1, "mined_labels": 4, "duplicate_similarity": 0.5}
    )
    seen: list[MinedTable | None] = []
    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda self, *a, **k: (seen.append(self.mined), fit(self, *a, **k))[1])
    _train(inputs, tmp_path / "run")
    table, folder = seen[-1], tmp_path / "run" / "hard_negatives"
    assert table is not None
    assert len(table.duplicates) == len(table.labels) == 50
    assert len(table.duplicates.values) > 0
    np.testing.assert_array_equal(table.duplicates.values, np.load(folder / "near_duplicates.npy"))
    np.testing.assert_array_equal(table.labels, np.load(folder / "mined_labels.npy"))

    without = _changed(inputs, batching={"mined_per_query": 0})
    _train(without, tmp_path / "without")
    warmup, refreshed = (open_sealed(tmp_path / "without" / name) for name in ("warmup", "hard_negatives"))
    assert not list(refreshed.path.glob("near_duplicate*")), "nobody draws from them"
    with pytest.raises(StateError, match=r"do not say what was left out.*hard_negative_refresh"):
        stages.train_hard(inputs, warmup, refreshed, WorkDirectory(tmp_path / "again"))


def test_tokens_of_other_items_are_refused(tmp_path: Path) -> None:
    """Rows are joined by position: another number of training queries is an error that says what to do."""
    inputs = _inputs(tmp_path)
    with pytest.raises(StateError, match="other items"):
        stages.StageInputs(
            inputs.params,
            inputs.evaluation,
            inputs.seed,
            inputs.tokens,
            None,
            inputs.relevance_train[:40],
            inputs.relevance_validation,
            inputs.filter_validation,
        )


def test_images_without_a_bank_are_refused(tmp_path: Path) -> None:
    """A text variant cannot use images."""
    inputs = _inputs(tmp_path)
    with pytest.raises(ConfigError, match="told to use images"):
        stages.StageInputs(
            PARAMS.model_copy(update={"model": PARAMS.model.model_copy(update={"use_images": True})}),
            *(getattr(inputs, name) for name in ("evaluation", "seed", "tokens", "image_bank")),
            *(getattr(inputs, name) for name in ("relevance_train", "relevance_validation", "filter_validation")),
        )


def test_embeddings_of_a_chosen_width(tmp_path: Path) -> None:
    """`retrieval.dim` cuts queries and labels alike, after the prototypes were made at full width."""
    inputs = _inputs(tmp_path)
    model, _ = _train(inputs, tmp_path)
    full = stages.embed_test_and_labels(inputs, model, WorkDirectory(tmp_path / "full"))
    short_inputs = _changed(inputs, retrieval={"dim": 6})
    short = stages.embed_test_and_labels(short_inputs, model, WorkDirectory(tmp_path / "short"))
    assert short.meta["dim"] == 6
    for name in ("test_queries", "label_texts", "label_prototypes", "train_queries"):
        whole = np.load(full.path / f"{name}.npy").astype(np.float32)[:, :6]
        expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
        np.testing.assert_allclose(np.load(short.path / f"{name}.npy"), expected, atol=2e-3)
    too_wide = _changed(inputs, retrieval={"dim": 17})
    with pytest.raises(ConfigError, match="wider than the embeddings"):
        stages.embed_test_and_labels(too_wide, model, WorkDirectory(tmp_path / "wide"))


def test_shorter_widths_are_trained_along(tmp_path: Path) -> None:
    """The curve has a loss of each; one that the embeddings do not have is refused before training."""
    inputs = _changed(_inputs(tmp_path), model={"matryoshka": (4, 8)})
    _, curve = _train(inputs, tmp_path)
    assert {"loss_dim_4", "loss_dim_8"} <= {name for record in curve for name in record}
    too_wide = _changed(inputs, model={"matryoshka": (16,)})
    with pytest.raises(ConfigError, match="more than the embeddings have"):
        too_wide.new_model()


def test_no_image_an_item_is_a_text_only_model(tmp_path: Path) -> None:
    """`max_images: 0` needs no image bank and has no projection."""
    inputs = _changed(_inputs(tmp_path), model={"use_images": True, "max_images": 0})
    assert inputs.bank is None
    assert inputs.new_model().embedder.projection is None


def test_centroids_are_there_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of what the untrained network makes of a label's queries, not zeros for an epoch."""
    inputs, before = _inputs(tmp_path), []
    step = Trainer._train_step

    def recorded(self: Trainer, rows: np.ndarray) -> dict[str, object]:
        if self.step == 0:
            queries = embed_all(self.model, self.inputs.queries, precision="fp32", desc="queries")
            before.append((queries, self.model.label_side.centroids.numpy().copy()))
        return step(self, rows)

    monkeypatch.setattr(Trainer, "_train_step", recorded)
    stages.train_warmup(inputs, WorkDirectory(tmp_path / "work"))
    queries, centroids = before[0]
    relevance = inputs.relevance_train.toarray()
    expected = relevance.T @ queries / np.maximum(relevance.sum(axis=0), 1)[:, None]
    np.testing.assert_allclose(centroids, expected, atol=1e-5)


def test_published_prototypes_combine_the_embeddings_as_pooled(tmp_path: Path) -> None:
    """Label texts are published at unit length, prototypes are made of what they were before."""
    inputs = _inputs(tmp_path)
    model, _ = _train(inputs, tmp_path / "run")
    folder = stages.embed_test_and_labels(inputs, model, WorkDirectory(tmp_path / "embeddings")).path
    dual, labels = open_model(model.path)[0], inputs.source("label")
    with torch.no_grad():
        pooled = dual.embedder(labels.batch(np.arange(len(labels))))
        expected = dual.label_side(pooled, torch.arange(len(labels)))
    assert (pooled.norm(dim=1) - 1).abs().min() > 0.1
    np.testing.assert_allclose(np.load(folder / "label_prototypes.npy"), expected, atol=1e-5)
    np.testing.assert_allclose(np.load(folder / "label_texts.npy"), normalize(pooled, dim=-1), atol=1e-5)
