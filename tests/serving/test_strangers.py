"""Predictors from anybody: settings that reach beyond them, forged seals, replaced while they are open."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.serving.strangers import change, seal, stranger

from vixml import Predictor
from vixml.core.directories import MANIFEST, Built, WorkDirectory, open_sealed, publish
from vixml.core.errors import ConfigError, StateError
from vixml.core.provenance import fingerprint_json
from vixml.images.vision import load_vision
from vixml.models.saved import drop_foreign_attention, read_config
from vixml.params.data.vision import VisionParams
from vixml.params.retrieval import LabelUpdateParams
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, update_labels
from vixml.serving.web.app import create_app

__all__ = ["stranger"]


@pytest.fixture
def no_network(monkeypatch):
    """Let every look-up and connection fail the test; nothing leaves the machine."""
    asked = []

    def refuse(*args, **kwargs):
        asked.append(args)
        raise OSError("the network was asked")

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.mark.parametrize("name", ["hf-hub:someone/something", "ViT-B-32"])
def test_a_predictor_fetches_no_vision_model(stranger, no_network, name):
    change("vision", "model", value=name)(stranger / "settings.json")
    change("vision", "pretrained", value=None if ":" in name else "laion2b_s34b_b79k")(stranger / "settings.json")
    seal(stranger)
    opened = Predictor.open(stranger, device="cpu")
    with pytest.raises(ConfigError, match="could not be loaded"):
        opened.predict("a", images=[b"\x89PNG"])
    assert no_network == []
    with pytest.raises(ConfigError, match="never fetches"):
        load_vision(VisionParams(model="hf-hub:a/b"), 0, offline=True)


def test_attention_is_ours_to_choose(stranger, no_network):
    file = stranger / "model/backbone_config.json"
    for name in ("_attn_implementation", "attn_implementation", "_experts_implementation"):
        change(name, value="someone/kernel")(file)
    change("auto_map", value={"AutoModel": "someone/code--module.Model"})(file)
    seal(stranger)
    opened = Predictor.open(stranger, device="cpu")
    assert "kernel" not in str(opened._encoder.model.embedder.backbone.config)
    assert "someone" not in json.dumps(read_config(file))
    assert no_network == []


def test_a_configuration_from_the_hub_names_no_attention_of_another_place():
    from transformers import BertConfig

    config = BertConfig()
    config._attn_implementation = "someone/kernel"
    assert drop_foreign_attention(config)._attn_implementation is None
    config._attn_implementation = "sdpa"
    assert drop_foreign_attention(config)._attn_implementation == "sdpa"


def shown(predictor, **options):
    client = TestClient(create_app({"m": predictor}, **options))
    rows = client.post("/api/predict", json={"text": "red vase", "k": 48}).json()["labels"]
    pictures = {client.get(f"/api/picture/m/label/{row}").status_code == 200 for row in (1, 2)}
    return any(row["picture"] for row in rows), pictures == {True}


def test_a_predictor_from_elsewhere_shows_no_pictures_of_this_machine(stranger, models, root):
    assert shown(Predictor.open(models / "encoder_vision", device="cpu")) == (True, True)
    for place in (str(root), "/"):
        change("image_root", value=place)(stranger / "settings.json")
        change("added_roots", value=[place])(stranger / "settings.json")
        seal(stranger)
        opened = Predictor.open(stranger, device="cpu")
        assert shown(opened) == (False, False), place
    assert shown(opened, image_roots=[root]) == (True, True)


@pytest.mark.parametrize("place", ["/", "~", "parent"])
def test_no_predictor_shows_a_folder_that_holds_everything(models, tmp_path, place):
    """Not even one of this user's own, whose settings somebody else may have written."""
    shutil.copytree(models / "encoder_vision" / "predictor", tmp_path / "work")
    wide = {"/": "/", "~": str(Path.home()), "parent": str(tmp_path)}[place]
    change("image_root", value=wide)(tmp_path / "work" / "settings.json")
    meta = json.loads((tmp_path / "work" / MANIFEST).read_text())["meta"]
    (tmp_path / "work" / MANIFEST).unlink()
    publish(Built(tmp_path / "work", "predictor", meta), tmp_path / "mine")
    bundle = PredictorBundle.open(tmp_path / "mine")
    assert bundle.sealed.made_here
    assert bundle.picture_roots == (None,)


def test_changing_labels_does_not_make_a_strangers_folders_ours(stranger, tmp_path):
    change("image_root", value="/")(stranger / "settings.json")
    seal(stranger)
    changes = LabelChanges(added={"new": ("a", [])}, image_root=tmp_path)
    built, _ = update_labels(
        PredictorBundle.open(stranger), changes, LabelUpdateParams(), WorkDirectory(tmp_path / "w")
    )
    updated = publish(built, tmp_path / "updated")
    assert updated.made_here
    assert json.loads((updated.path / "settings.json").read_text())["image_root"] is None


def test_a_forged_record_hides_no_swapped_file(stranger):
    open_sealed(stranger)
    file = stranger / "label_texts.npy"
    swapped = np.load(file) + np.float32(1)
    np.save(file, swapped)
    record = json.loads((stranger / ".verified.json").read_text())
    facts = file.stat()
    record["stamps"]["label_texts.npy"] = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    (stranger / ".verified.json").write_text(json.dumps(record))
    with pytest.raises(StateError, match="edited"):
        open_sealed(stranger)


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"stamps": 1}', '{"stamps": {}, "checked": 5, "made": null}'])
def test_a_record_of_another_form_counts_for_nothing(stranger, record):
    (stranger / ".verified.json").write_text(record)
    assert not open_sealed(stranger).made_here


def test_links_and_paths_out_of_a_sealed_folder_are_refused(stranger, tmp_path):
    outside = tmp_path / "outside.npy"
    (stranger / "label_texts.npy").rename(outside)
    (stranger / "label_texts.npy").symlink_to(outside)
    seal(stranger)
    with pytest.raises(StateError, match="link"):
        open_sealed(stranger)
    (stranger / "label_texts.npy").unlink()
    shutil.copy(outside, stranger / "label_texts.npy")
    seal(stranger)
    shutil.move(stranger / "index", tmp_path / "index")
    (stranger / "index").symlink_to(tmp_path / "index")
    with pytest.raises(StateError, match="link"):
        open_sealed(stranger)
    manifest = json.loads((stranger / MANIFEST).read_text())
    for name in ("../outside.npy", str(outside), "a\0b", ""):
        content = {"kind": manifest["kind"], "meta": {}, "files": {name: {"bytes": 1, "sha256": ""}}}
        (stranger / MANIFEST).write_text(json.dumps({**content, "seal": fingerprint_json(content)}))
        with pytest.raises(StateError, match="out of its folder"):
            open_sealed(stranger)


def test_a_file_that_was_not_sealed_is_refused(stranger):
    (stranger / "model" / "tokenizer" / "added_tokens.json").write_text('{"x": 1}')
    with pytest.raises(StateError, match="not part of the predictor"):
        Predictor.open(stranger, device="cpu")


def replaced_by(stranger, source, meta=None):
    """Publish another predictor in the place of this one."""
    work = stranger.with_name("work")
    shutil.copytree(source, work)
    manifest = json.loads((work / MANIFEST).read_text())
    (work / MANIFEST).unlink()
    return publish(Built(work, "predictor", {**manifest["meta"], **(meta or {})}), stranger)


def test_a_predictor_that_is_replaced_answers_as_it_was_opened(stranger, models, tmp_path, caplog):
    opened = Predictor.open(stranger, device="cpu")
    client = TestClient(create_app({"m": opened}))
    question = {"text": "red vase", "k": 48, "neighbours": 3}
    before = client.post("/api/predict", json=question).json()
    exactly = opened.predict("red vase", allow=["L001", "L002"])
    assert "notice" not in before
    bundle = PredictorBundle.open(models / "encoder_vision")
    removed = [f"L{number:03d}" for number in range(20)]
    built, _ = update_labels(
        bundle, LabelChanges(removed=removed, image_root=tmp_path), LabelUpdateParams(), WorkDirectory(tmp_path / "w")
    )
    publish(built, stranger)
    after = client.post("/api/predict", json=question).json()
    assert "Restart the server" in after.pop("notice")
    assert after == before
    assert client.get("/health").json()["replaced"] == ["m"]
    assert opened.predict("red vase", allow=["L001", "L002"]) == exactly
    assert caplog.text.count("was replaced") == 1
    assert len(Predictor.open(stranger, device="cpu").labels) == 28


def test_a_predictor_that_is_replaced_while_it_is_opened_is_opened_whole(stranger, models, monkeypatch):
    expected = json.loads((models / "encoder_vision/predictor" / MANIFEST).read_text())["seal"]
    swaps = []

    def encoder(self, *, real=PredictorBundle.encoder, **options):
        if not swaps:
            swaps.append(replaced_by(self.folder, models / "encoder_vision" / "predictor"))
        return real(self, **options)

    monkeypatch.setattr(PredictorBundle, "encoder", encoder)
    opened = Predictor.open(stranger, device="cpu")
    assert (len(swaps), opened.replaced) == (1, False)
    assert opened.bundle.sealed.seal == expected


def test_labels_are_not_changed_of_a_predictor_that_was_replaced(stranger, models, tmp_path):
    bundle = PredictorBundle.open(stranger)
    replaced_by(stranger, models / "encoder_vision" / "predictor", {"other": 1})
    changes = LabelChanges(removed=["L000"], image_root=tmp_path)
    with pytest.raises(StateError, match="replaced meanwhile"):
        update_labels(bundle, changes, LabelUpdateParams(), WorkDirectory(tmp_path / "w"))
