"""Every objective through the whole of a training: what the model holds, what stands for a label, kill and resume."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.training.stage_runs import changed, make_inputs, train

from vixml.core.directories import WorkDirectory, read_json, write_json
from vixml.core.errors import StateError
from vixml.models.build import open_model
from vixml.params.objective import OBJECTIVES
from vixml.training import stages
from vixml.training.checkpoint import read_state, write_state
from vixml.training.variant_data import VariantData


def _settings(tiny: SimpleNamespace, name: str, **groups: dict[str, object]) -> object:
    settings = tiny.params.model_dump()
    settings["objective"]["name"] = name
    for group, values in groups.items():
        settings[group].update(values)
    return type(tiny.params)(**settings)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("gradient_cache", [False, True])
def test_a_training_lowers_the_loss_and_moves_every_weight(
    tiny: SimpleNamespace, tmp_path: Path, name: str, gradient_cache: bool
) -> None:
    trainer = tiny.trainer(tmp_path, params=_settings(tiny, name, batching={"gradient_cache": gradient_cache}))
    before = {key: weight.detach().clone() for key, weight in trainer.state.model.named_parameters()}
    trainer.fit(4, desc="train")
    losses = [record["loss"] for record in trainer.curve.records() if "loss" in record]
    assert losses[-1] < losses[0]
    learnt = {key for key, weight in trainer.state.model.named_parameters() if not torch.equal(weight, before[key])}
    idle = {key for key in before if "pooler" in key}  # BERT's pooler is not looked at
    assert learnt == set(before) - idle


@pytest.mark.parametrize("name", ["dexa", "ngame", "infonce"])
def test_a_resumed_training_ends_at_the_same_weights(tiny: SimpleNamespace, tmp_path: Path, name: str) -> None:
    params = _settings(tiny, name)
    straight, first = (tiny.trainer(tmp_path / name, params=params) for name in ("a", "b"))
    straight.fit(4, desc="train")
    first.fit(3, desc="train")
    state = write_state(first.state, WorkDirectory(tmp_path / "state").fresh("s")).path
    second = tiny.trainer(tmp_path / "c", params=params)
    read_state(second.state, state)
    second.fit(4, desc="train")
    for one, two in zip(straight.state.model.parameters(), second.state.model.parameters(), strict=True):
        assert torch.equal(one, two)


def _trained(inputs: VariantData, folder: Path) -> tuple[object, dict[str, np.ndarray]]:
    model, _ = train(inputs, folder)
    built = stages.embed_test_and_labels(inputs, model, WorkDirectory(folder / "embeddings_work"))
    return model, {name: np.load(built.path / f"{name}.npy") for name in ("label_texts", "label_prototypes")}


@pytest.mark.parametrize("name", ["dexa", "ngame", "decoupled_softmax"])
def test_the_stages_publish_what_stands_for_a_label(tmp_path: Path, name: str) -> None:
    """No weight of a part that the objective does not have; the published vectors are what the definition says."""
    inputs = changed(make_inputs(tmp_path), objective={"name": name})
    model, vectors = _trained(inputs, tmp_path / "run")
    weights = load_file(model.path / "model.safetensors")
    own = {key for key in weights if key.startswith("label_side")}
    texts, prototypes = vectors["label_texts"], vectors["label_prototypes"]
    if name == "dexa":
        assert own == {"label_side.free.table.weight", "label_side.free.of_label"}
        free = weights["label_side.free.table.weight"][weights["label_side.free.of_label"]]
        expected = texts + free
        np.testing.assert_allclose(prototypes, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
        assert np.bincount(weights["label_side.free.of_label"], minlength=7).min() >= 2, "shared by clustering"
    else:
        assert own == set()
        np.testing.assert_array_equal(prototypes, texts)
    assert model.meta["parameters"] == sum(w.numel() for w in open_model(model.path)[0].parameters())


def test_a_state_of_another_objective_is_not_continued(tmp_path: Path) -> None:
    inputs, work = make_inputs(tmp_path), WorkDirectory(tmp_path / "work")
    stages.train_warmup(inputs, work)
    with pytest.raises(StateError, match=r"params.objective.name"):
        stages.train_warmup(changed(inputs, objective={"name": "dexa"}), work)


def test_all_batches_are_random_where_clustering_would_begin_after_the_last_epoch(tmp_path: Path) -> None:
    """`start_epoch` = `epochs`: the refresh is there for its report, the second stage has no step of its own."""
    inputs = changed(make_inputs(tmp_path), batching={"start_epoch": 4})
    model, curve = train(inputs, tmp_path / "run")
    assert model.meta["epochs"] == 4
    assert [record["epoch"] for record in curve if "queries_per_second" in record] == [1, 2, 3, 4]
    assert open_model(model.path)[0].label_side.centroids.norm() > 0


def test_a_model_whose_combiner_read_unit_embeddings_is_refused(tmp_path: Path) -> None:
    """Its prototypes would silently be others; a model without combiner is the same in either version."""
    inputs = make_inputs(tmp_path)
    model, _ = train(inputs, tmp_path / "run")
    _as_earlier(model.path)
    with pytest.raises(StateError, match=r"earlier version.*train the variant again"):
        open_model(model.path)
    model, _ = train(changed(inputs, objective={"name": "ngame"}), tmp_path / "ngame")
    _as_earlier(model.path)
    open_model(model.path)


def _as_earlier(folder: Path) -> None:
    spec = read_json(folder / "model.json")
    write_json(folder / "model.json", {key: value for key, value in spec.items() if key != "combiner_input"})
