"""A step with the gradient cache, with image dropout (who loses its images), and with a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.models.item_batch import ItemBatch, drop_images
from vixml.params.variant import VariantParams
from vixml.training.step import training_step


def with_dropout(params: VariantParams, dropout: float, **batching: object) -> VariantParams:
    values = params.model_dump()
    return VariantParams(
        **{
            **values,
            "model": {**values["model"], "image_dropout": dropout},
            "batching": {**values["batching"], **batching},
        }
    )


def losses(trainer: SimpleNamespace) -> list[float]:
    return [record["loss"] for record in trainer.curve.records() if "loss" in record]


def test_all_images_of_an_item_go_or_none() -> None:
    """The others keep theirs, in order; texts stay."""
    counts = np.array([2, 0, 1, 3])
    images = np.arange(12, dtype=np.float32).reshape(6, 2)
    tokens = RaggedArray(np.arange(4), offsets_of(np.ones(4, np.int64)))
    left = drop_images(ItemBatch(tokens, images, counts), np.array([True, True, False, False]))
    assert_array_equal(left.image_counts, [0, 0, 1, 3])
    assert_array_equal(left.images, images[2:])
    assert left.tokens is tokens
    bare = ItemBatch(tokens)
    assert drop_images(bare, np.ones(4, bool)) is bare


def test_the_share_is_p_and_sides_are_drawn_alike(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Over many steps, of queries and of labels; each step draws anew, and the same step the same."""
    trainer = tiny.trainer(tmp_path, params=with_dropout(tiny.params, 0.3))
    rows = trainer.state.rows[:16]
    kept, shown, draws = np.zeros(2), np.zeros(2), []
    for step in range(300):
        trainer.state.step = step
        batch = trainer.step.gather(trainer.state, rows)
        items, labels = batch.items, batch.pool.cpu().numpy()
        before = np.concatenate(
            [trainer.data.queries.batch(rows).image_counts, trainer.data.labels.batch(labels).image_counts]
        )
        assert set(np.unique(items.image_counts[before == 0])) <= {0}
        assert_array_equal(items.image_counts[items.image_counts > 0], before[items.image_counts > 0])
        for side, part in enumerate((slice(0, len(rows)), slice(len(rows), None))):
            kept[side] += (items.image_counts[part] > 0).sum()
            shown[side] += (before[part] > 0).sum()
        draws.append(items.image_counts[: len(rows)].tolist())
        assert trainer.step.gather(trainer.state, rows).items.image_counts.tolist() == items.image_counts.tolist()
    np.testing.assert_allclose(1 - kept / shown, 0.3, atol=0.04)
    assert len({tuple(draw) for draw in draws}) > 100


def test_without_dropout_nothing_changes(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """p = 0 draws nothing: positives, batches and losses are those of before the setting existed."""
    plain, zero, some = (
        tiny.trainer(tmp_path / name, params=params)
        for name, params in (
            ("plain", tiny.params),
            ("zero", with_dropout(tiny.params, 0.0)),
            ("some", with_dropout(tiny.params, 0.5)),
        )
    )
    for trainer in (plain, zero, some):
        trainer.fit(1, desc="train")
    assert losses(plain) == losses(zero)
    assert losses(plain) != losses(some)


def test_the_cache_drops_the_same_images(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Both passes over a batch see the same images: the losses are those without the cache."""
    found = []
    for cached in (False, True):
        trainer = tiny.trainer(tmp_path / str(cached), params=with_dropout(tiny.params, 0.4, gradient_cache=cached))
        trainer.fit(2, desc="train")
        found.append(losses(trainer))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_test_queries_can_be_asked_without_their_images(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """What `evaluation.query_images: false` measures: the same texts, no image, the vision network."""
    queries = tiny.trainer(tmp_path).data.queries
    rows = np.arange(20)
    bare, full = queries.without_images().batch(rows), queries.batch(rows)
    assert_array_equal(bare.tokens.values, full.tokens.values)
    assert bare.images is not None
    assert len(bare.images) == 0
    assert bare.image_counts.tolist() == [0] * 20
    assert full.image_counts.sum() > 0


def test_a_training_with_the_cache_follows_the_one_without(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """The same losses over two epochs, dropout and all."""
    losses = []
    for cached in (False, True):
        batching = {**tiny.params.batching.model_dump(), "gradient_cache": cached}
        params = VariantParams(**{**tiny.params.model_dump(), "batching": batching})
        trainer = tiny.trainer(tmp_path / str(cached), params=params)
        trainer.fit(2, desc="train")
        losses.append([record["loss"] for record in trainer.curve.records() if "loss" in record])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def soft_labels() -> sp.csr_matrix:
    """Of the first 40 of 50 queries, three labels each."""
    rng = np.random.default_rng(5)
    dense = np.zeros((50, 20), np.float32)
    for row in range(40):
        dense[row, rng.choice(20, 3, replace=False)] = rng.uniform(0.1, 0.9, 3)
    return sp.csr_matrix(dense)


def with_student(params: VariantParams, **student: object) -> VariantParams:
    values = params.model_dump()
    return VariantParams(**{**values, "objective": {**values["objective"], "distillation": student}})


def test_a_teacher_adds_labels_to_the_pool_and_says_how_likely_they_are(tiny: SimpleNamespace, tmp_path: Path) -> None:
    soft = soft_labels()
    alone = tiny.trainer(tmp_path / "alone")
    taught = tiny.trainer(tmp_path / "taught", params=with_student(tiny.params, drawn_per_query=2), soft_labels=soft)
    rows = taught.state.rows[-16:]  # some of them without soft labels
    plain, batch = (trainer.step.gather(trainer.state, rows) for trainer in (alone, taught))
    assert plain.soft is None
    pool = batch.pool.numpy()
    assert set(plain.pool.tolist()) < set(pool.tolist())
    added = set(pool.tolist()) - set(plain.pool.tolist())
    assert added <= set(soft[rows].indices.tolist())
    relevance = taught.data.relevance.toarray()[rows][:, pool]
    assert batch.soft is not None
    assert_array_equal(batch.soft.numpy(), np.maximum(soft.toarray()[rows][:, pool], relevance))
    assert_array_equal(batch.target.numpy(), relevance > 0)


def test_pairs_that_the_teacher_finds_likely_are_no_negatives(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Without weight and draws nothing else is learned from the teacher; a limit that no pair reaches spares none."""
    found = {}
    for limit in (None, 0.95, 0.3):
        params = with_student(tiny.params, weight=0.0, drawn_per_query=0, spare_above=limit)
        trainer = tiny.trainer(tmp_path / str(limit), params=params, soft_labels=soft_labels())
        trainer.fit(3, desc="train")
        found[limit] = losses(trainer)
    assert found[None] == found[0.95]
    assert found[0.3][0] < found[None][0], "the first step has the same embeddings and fewer negatives"


def test_a_student_learns_from_its_teacher(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Its own loss is reported; without weight and draws the training is that without a teacher."""
    soft = soft_labels()
    silent = with_student(tiny.params, weight=0.0, drawn_per_query=0)
    plain = tiny.trainer(tmp_path / "plain")
    ignored = tiny.trainer(tmp_path / "ignored", params=silent, soft_labels=soft)
    taught = tiny.trainer(tmp_path / "taught", soft_labels=soft)
    for trainer in (plain, ignored, taught):
        trainer.fit(3, desc="train")
    assert losses(ignored) == losses(plain) != losses(taught)
    learned = [record["loss_soft"] for record in taught.curve.records() if "loss_soft" in record]
    assert len(learned) == 3
    assert learned[-1] < learned[0]


def test_embeddings_set_out_for_the_bank_before_the_backward_pass(
    tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind it, a copy from a GPU would wait for all of it; whoever needs them waits after the new weights."""
    trainer, order = tiny.trainer(tmp_path), []
    fetch = training_step.fetch

    def noted(tensor: torch.Tensor, dtype: torch.dtype) -> Callable[[], torch.Tensor]:
        order.append("begin")
        wait = fetch(tensor, dtype)
        return lambda: (order.append("wait"), wait())[1]

    monkeypatch.setattr(training_step, "fetch", noted)
    for name in ("_backward", "_update_weights"):
        method = getattr(trainer.step, name)
        monkeypatch.setattr(
            trainer.step, name, lambda *given, _name=name, _method=method: (order.append(_name), _method(*given))[1]
        )
    rows = trainer.state.rows[:4]
    before = trainer.state.bank.clone()
    trainer.step.learn(trainer.state, rows)
    assert order == ["begin", "_backward", "_update_weights", "wait"]
    assert not torch.equal(trainer.state.bank[rows], before[rows])
    assert trainer.state.bank[rows].float().norm(dim=1).sub(1).abs().max() < 1e-2
