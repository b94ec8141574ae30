"""What tells trainings and models apart: settings that count for the weights, and those that do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tests.training.stage_runs import Killed, changed, make_inputs, stop_at, train

from vixml.core.directories import SealedDirectory, WorkDirectory
from vixml.core.errors import ConfigError, StateError
from vixml.params.model import TinyParams
from vixml.params.variant import VariantParams
from vixml.training import stages
from vixml.training.identity import TRAINED_WITH, check_identity, check_same_model, trained_with
from vixml.training.loop import Trainer


@pytest.mark.parametrize("steps", [3, 11])  # in the warm-up, and in the hard stage
def test_other_settings_are_named_forced_or_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, steps: int
) -> None:
    """A training that was killed and whose settings changed asks the user which of the two he wants."""
    inputs = make_inputs(tmp_path)
    often = changed(inputs, training={"checkpoint_minutes": 1e-12})  # a setting of speed
    with monkeypatch.context() as patch:
        stop_at(patch, steps)
        with pytest.raises(Killed):
            train(often, tmp_path / "run")
    other = changed(inputs, optim={"lr": 3e-3})
    with pytest.raises(StateError, match=r"params\.optim\.lr: 0\.0002 -> 0\.003\."):
        train(other, tmp_path / "run")
    begun_anew, _ = train(other, tmp_path / "anew")
    started_at: list[int] = []
    fit = Trainer.fit
    monkeypatch.setattr(
        Trainer, "fit", lambda self, until, desc: (started_at.append(self.state.step), fit(self, until, desc=desc))[1]
    )
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    forced, _ = train(other, tmp_path / "run", resume="force")
    assert started_at[-1 if steps > 8 else 0] == steps
    assert forced.files["model.safetensors"] != begun_anew.files["model.safetensors"]
    started_at.clear()
    assert "resume=never" not in caplog.text
    never, _ = train(other, tmp_path / "copy", resume="never")
    assert started_at == [0, 8]
    assert "Leave that out of the next command" in caplog.text
    assert never.files["model.safetensors"] == begun_anew.files["model.safetensors"]


def test_another_number_of_threads_goes_on_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Sums in another order have other last digits; that is no reason to lose a training, and none to be silent."""
    inputs = changed(make_inputs(tmp_path), training={"checkpoint_minutes": 1e-12})
    before = torch.get_num_threads()
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Killed):
            train(inputs, tmp_path / "run")
    train(inputs, shutil.copytree(tmp_path / "run", tmp_path / "same"))
    assert "versions.threads" not in caplog.text
    torch.set_num_threads(before + 1)
    try:
        train(inputs, tmp_path / "run")
    finally:
        torch.set_num_threads(before)
    assert f"versions.threads: {before} -> {before + 1}" in caplog.text


def test_a_state_of_an_earlier_version_does_not_say_the_threads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is continued without a word."""
    now = {"seed": 0, "versions.torch": "2", "versions.threads": 4}
    check_identity({"seed": 0, "versions.torch": "2"}, now, state=tmp_path, resume="auto", remedy="")
    assert not caplog.text
    check_identity({**now, "versions.torch": "1", "versions.threads": 8}, now, state=tmp_path, resume="auto", remedy="")
    assert "other library versions or number of threads (then -> now)" in caplog.text
    assert 'versions.threads: 8 -> 4; versions.torch: "1" -> "2"' in caplog.text
    assert str(tmp_path) not in caplog.text


def test_an_unknown_way_to_resume_is_refused_where_a_state_is_read(tmp_path: Path) -> None:
    """The known ones are listed; kedro refuses the word before anything runs."""
    with pytest.raises(ConfigError, match="auto, force, never"):
        train(make_inputs(tmp_path), tmp_path, resume="sometimes")


def test_the_identity_holds_results_not_speed(tmp_path: Path) -> None:
    """Settings that change nothing about the weights do not keep a checkpoint from being continued."""
    inputs = make_inputs(tmp_path)
    same = changed(
        inputs,
        batching={"chunk_tokens": 64, "gradient_cache": True},
        training={"checkpoint_every": 7, "keep_checkpoints": 9, "log_every": 3},
        retrieval={"kind": "faiss-flat"},
    )
    assert same.identity == inputs.identity
    assert {"seed", "data.tokens", "data.relevance", "versions.torch", "params.optim.lr"} < inputs.identity.keys()
    assert changed(inputs, batching={"batch_size": 8}).identity != inputs.identity


def test_a_model_of_other_settings_is_refused(tmp_path: Path) -> None:
    """Results stand under the run's settings: evaluating another's model names what differs."""
    inputs = make_inputs(tmp_path)
    model, _ = train(inputs, tmp_path / "run")
    other = changed(inputs, backbone={"pooling": "last"}, objective={"name": "ngame"})
    with pytest.raises(StateError, match=r'backbone\.pooling: "mean" -> "last"; objective\.name: "prime" -> "ngame"'):
        stages.embed_test_and_labels(other, model, WorkDirectory(tmp_path / "other"))
    same = changed(
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


def test_a_model_of_an_earlier_version_had_the_defaults_of_what_came_later(tmp_path: Path) -> None:
    """A setting that it does not know is no difference; another value of it is, and one that it knows."""
    params = VariantParams()
    known = trained_with(params)
    del known["model.image_residual"]
    model = SealedDirectory(tmp_path, "model", {TRAINED_WITH: known}, {})
    check_same_model(model, params)
    later = VariantParams(model={"image_residual": 0.5})
    with pytest.raises(StateError, match=r"model\.image_residual: 0\.0 -> 0\.5"):
        check_same_model(model, later)
    other = SealedDirectory(tmp_path, "model", {TRAINED_WITH: {**known, "model.max_images": 7}}, {})
    with pytest.raises(StateError, match=r"model\.max_images: 7 -> 3"):
        check_same_model(other, params)
