"""Refreshes of the hard stage, and mined labels in the pool of a batch: recorded, resumable, the same in every way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vixml.data.ragged import RaggedArray, offsets_of
from vixml.negatives.centroids import update_centroids
from vixml.negatives.table import MinedTable
from vixml.params.variant import VariantParams
from vixml.training import state
from vixml.training.checkpoint import newest_checkpoint, read_state
from vixml.training.loop import Trainer
from vixml.training.state import TrainingState

STAGE = "stage"


def _params(params: VariantParams, **batching: Any) -> VariantParams:
    settings = params.model_dump()
    settings["batching"] |= {"mined_labels": 6, "duplicate_similarity": None, **batching}
    return VariantParams(**settings)


def _hard(tiny: SimpleNamespace, work: Path, **batching: Any) -> Trainer:
    """A trainer at the begin of the hard stage with an exact bank, clusters and mined labels."""
    trainer = tiny.trainer(work, params=_params(tiny.params, **batching))
    trainer.state.epoch, trainer.state.step = 2, 2 * trainer.state.steps_per_epoch
    rng = np.random.default_rng(3)
    bank = rng.standard_normal(trainer.state.bank.shape).astype(np.float32)
    true = trainer.data.relevance.toarray() > 0
    mined = np.stack([rng.permutation(np.flatnonzero(~row))[:6] for row in true]).astype(np.int32)
    clusters = np.array_split(trainer.state.rows, 13)
    monitored = mined[trainer.state.monitored_rows]
    trainer.state.set_bank(bank / np.linalg.norm(bank, axis=1, keepdims=True))
    trainer.state.clusters, trainer.state.monitored = clusters, monitored
    update_centroids(trainer.state.model, trainer.state.bank, trainer.data.relevance)
    if trainer.params.batching.mined_per_query:
        left_out = rng.random(len(true)) < 0.2
        trainer.state.mined = MinedTable(mined, RaggedArray(mined[left_out, -1], offsets_of(left_out.astype(np.int64))))
    return trainer


def _pools(trainer: Trainer, until: int) -> dict[int, tuple[list[int], float]]:
    """Train and note the pool and the loss of every step."""
    seen: dict[int, Any] = {}
    gather, learn = trainer.step.gather, trainer.step.learn

    def gathered(state: TrainingState, rows: np.ndarray) -> Any:
        found = gather(state, rows)
        true = trainer.data.relevance.toarray()[rows][:, found.pool.numpy()] > 0
        np.testing.assert_array_equal(found.target.numpy(), true)
        seen[state.step] = found.pool.tolist()
        return found

    def stepped(state: TrainingState, rows: np.ndarray) -> Any:
        number, terms = state.step, learn(state, rows)
        seen[number] = (seen[number], float(terms["loss"]))
        return terms

    trainer.step.gather, trainer.step.learn = gathered, stepped
    trainer.fit(until, desc=STAGE)
    return seen


def test_mined_labels_are_extra_columns(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """The pool is that of a training without them, and labels mined for the batch; the target marks all true pairs."""
    plain = _pools(_hard(tiny, tmp_path / "plain"), 3)
    trainer = _hard(tiny, tmp_path / "mined", mined_per_query=1)
    batches, table = trainer.batches(), trainer.state.mined
    mined = _pools(trainer, 3)
    assert table is not None
    for step, rows in enumerate(batches, start=8):
        extra = set(mined[step][0]) - set(plain[step][0])
        assert set(plain[step][0]) < set(mined[step][0])
        assert extra <= set(table.labels[rows].ravel().tolist()) - set(table.duplicates.take(rows).values.tolist())


def test_without_them_nothing_changes(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Renewal, thresholds and measuring leave the paper's protocol as it is, bit by bit."""
    plain = _hard(tiny, tmp_path / "plain", measure_every=0)
    other = _hard(tiny, tmp_path / "other", mine_every=1, duplicate_similarity=0.3, mining_index="faiss-flat")
    assert _pools(plain, 4) == _pools(other, 4)
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state.model.parameters(), other.state.model.parameters(), strict=True)
    )
    assert "violation_rate" not in plain.refreshes.records()[0]
    assert other.state.mined is None


def test_gradient_cache_gives_the_same_training(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Extra columns go through the chunks like the others."""
    whole, cached = (
        _hard(tiny, tmp_path / str(cache), mined_per_query=2, mine_every=1, gradient_cache=cache)
        for cache in (False, True)
    )
    for trainer in (whole, cached):  # dropout is drawn chunk by chunk
        for part in trainer.state.model.modules():
            part.p = 0.0 if isinstance(part, torch.nn.Dropout) else getattr(part, "p", None)
    one, two = _pools(whole, 3), _pools(cached, 3)
    assert [pool for pool, _ in one.values()] == [pool for pool, _ in two.values()]
    np.testing.assert_allclose([loss for _, loss in one.values()], [loss for _, loss in two.values()], rtol=1e-4)


@pytest.mark.parametrize("mine_every", [0, 1])
@pytest.mark.parametrize("steps", [10, 12, 13, 15, 16, 18])  # from step 8; refreshes before 12 and 16
def test_resumed_anywhere_the_same_labels_are_drawn(
    tiny: SimpleNamespace, tmp_path: Path, mine_every: int, steps: int
) -> None:
    """Pools, losses, weights, mined table and records of refreshes equal those of a run that was left alone."""
    settings = {"mined_per_query": 2, "mine_every": mine_every}
    whole = _hard(tiny, tmp_path / "whole", **settings)
    expected = _pools(whole, 5)
    first = _hard(tiny, tmp_path / "parts", **settings)
    first.params = VariantParams(  # a checkpoint after every step
        **{**first.params.model_dump(), "training": {**first.params.training.model_dump(), "checkpoint_minutes": 1e-12}}
    )
    exact, learn = first.state.mined, first.step.learn

    class Killed(Exception):
        pass

    def killed(state: TrainingState, rows: np.ndarray) -> Any:
        if state.step == steps:
            raise Killed
        return learn(state, rows)

    first.step.learn = killed
    with pytest.raises(Killed):
        first.fit(5, desc=STAGE)
    second = tiny.trainer(tmp_path / "parts", params=first.params)
    second.state.mined = exact  # as the stage does, from the exact refresh
    found = newest_checkpoint(first.checkpoints / STAGE)
    assert found is not None
    read_state(second.state, found)
    assert second.state.mined_is_renewed == (mine_every > 0 and steps > 12)
    second.refreshes.rewind(second.state.step - 1)
    after = _pools(second, 5)
    assert after == {number: seen for number, seen in expected.items() if number >= steps}
    assert second.state.mined is not None
    assert whole.state.mined is not None
    np.testing.assert_array_equal(second.state.mined.labels, whole.state.mined.labels)
    np.testing.assert_array_equal(second.state.mined.duplicates.values, whole.state.mined.duplicates.values)
    np.testing.assert_array_equal(second.state.mined.duplicates.offsets, whole.state.mined.duplicates.offsets)
    assert (second.state.mined is exact) == (mine_every == 0)
    for name, value in whole.state.model.state_dict().items():
        assert torch.equal(value, second.state.model.state_dict()[name]), name
    one, two = ([{**r, "seconds": 0} for r in trainer.refreshes.records()] for trainer in (whole, second))
    assert one == two


def test_every_refresh_is_recorded(tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed or not: how hard, how pure, how much changed, how long; a sample stands for many queries."""
    monkeypatch.setattr(state, "_MONITORED", 20)
    trainer = _hard(tiny, tmp_path, mined_per_query=1, mine_every=2)
    trainer.fit(5, desc=STAGE)
    records = trainer.refreshes.records()
    assert [(r["epoch"], r["step"], r["renewed"]) for r in records] == [(3, 12, 0.0), (4, 16, 1.0)]
    for record in records:
        assert record["queries"] == 20
        shares = ("violation_rate", "negatives_changed", "cluster_purity", "neighbours_changed", "near_duplicates")
        assert all(0 <= record[name] <= 1 for name in shares)
        assert -1 <= record["negative_similarity"] <= record["hardest_negative_similarity"] <= 1
        assert record["seconds"] > 0
    assert records[0]["negatives_changed"] > 0
    monitored = trainer.state.monitored_rows
    assert len(monitored) == 20
    assert trainer.state.mined is not None
    np.testing.assert_array_equal(trainer.state.monitored, trainer.state.mined.labels[monitored])


def test_renewed_labels_are_the_nearest_of_the_present_weights(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Every query gets its own; a query without label gets none."""
    from vixml.training.encode import embed_labels

    trainer = _hard(tiny, tmp_path, mined_per_query=1, mine_every=1)
    trainer.state.epoch, trainer.state.step = 3, 3 * trainer.state.steps_per_epoch
    trainer.batches()
    _, prototypes = embed_labels(trainer.state.model, trainer.data.labels, precision="fp32", desc="labels")
    scores = trainer.state.bank.float().numpy() @ prototypes.T
    scores[trainer.data.relevance.toarray() > 0] = -np.inf
    assert trainer.state.mined is not None
    np.testing.assert_array_equal(
        trainer.state.mined.labels[trainer.state.rows], np.argsort(-scores, axis=1)[trainer.state.rows, :6]
    )
    without = np.setdiff1d(np.arange(50), trainer.state.rows)
    assert (trainer.state.mined.labels[without] == -1).all()


def test_a_renewal_keeps_what_it_left_out(tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Of every query, as mining says; and no batch meets any of it in a mined column."""
    from vixml.negatives.mining import mine_labels
    from vixml.training.encode import embed_labels

    trainer = _hard(tiny, tmp_path, mined_per_query=2, mine_every=1, duplicate_similarity=0.9)
    trainer.state.epoch, trainer.state.step = 3, 3 * trainer.state.steps_per_epoch
    batches = trainer.batches()
    texts, prototypes = embed_labels(trainer.state.model, trainer.data.labels, precision="fp32", desc="labels")
    queries, relevance = trainer.state.bank.float().numpy(), trainer.data.relevance
    expected = mine_labels(
        queries,
        prototypes,
        texts,
        relevance,
        params=trainer.params.batching,
        device="cpu",
    ).duplicates
    assert trainer.state.mined is not None
    rows = trainer.state.rows
    np.testing.assert_array_equal(trainer.state.mined.duplicates.take(rows).values, expected.take(rows).values)
    np.testing.assert_array_equal(trainer.state.mined.duplicates.lengths[rows], expected.lengths[rows])
    assert trainer.state.mined.duplicates.lengths.sum() == expected.lengths[rows].sum() > 0
    for batch in batches:
        pool = trainer.step.pool(trainer.state, batch, np.random.default_rng(0))
        positives = trainer.step._sampler.draw(batch, np.random.default_rng(0))
        assert not set(np.setdiff1d(pool, positives)) & set(expected.take(batch).values.tolist())
