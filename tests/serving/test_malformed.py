"""Predictors from anybody: malformed in every way, replaced while open, with settings that reach beyond them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file
from starlette.testclient import TestClient

from vixml import Predictor
from vixml.core.directories import MANIFEST, Built, WorkDirectory, open_sealed, publish
from vixml.core.errors import ConfigError, StateError
from vixml.core.files import hash_file
from vixml.core.guards.untrusted import read_arrays, read_document
from vixml.core.provenance import fingerprint_json
from vixml.images.vision import load_vision
from vixml.models.saved import check_tokenizer, drop_foreign_attention, read_config
from vixml.params.data.vision import VisionParams
from vixml.params.retrieval import LabelUpdateParams
from vixml.serving.app import create_app
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, update_labels


def seal(folder: Path) -> None:
    """Write a manifest that fits the files, as whoever sends a folder can."""
    old = json.loads((folder / MANIFEST).read_text())
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, ".verified.json")
    }
    content = {"kind": old["kind"], "meta": old["meta"], "files": files}
    (folder / MANIFEST).write_text(json.dumps({**content, "seal": fingerprint_json(content)}))


@pytest.fixture
def stranger(models, tmp_path):
    """A predictor as it comes from elsewhere: copied, sealed, and not by this user."""
    folder = tmp_path / "predictor"
    shutil.copytree(models / "encoder_vision" / "predictor", folder)
    (folder / ".verified.json").unlink()
    seal(folder)
    return folder


def write(text):
    return lambda file: file.write_bytes(text if isinstance(text, bytes) else text.encode())


def change(*path, value):
    """Set an entry of a JSON document."""

    def damage(file):
        document = json.loads(file.read_text())
        place = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        file.write_text(json.dumps(document))

    return damage


def array(edit):
    return lambda file: np.save(file, edit(np.load(file)), allow_pickle=False)


def header(shape, descr="<f4"):
    def damage(file):
        with file.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
            stream.write(bytes(48 * 16 * 4))

    return damage


def table(edit):
    return lambda file: edit(pd.read_parquet(file)).to_parquet(file, index=False)


def poison(values):
    def edit(old):
        new = old.copy()
        new[3, 2] = values
        return new

    return edit


def bomb(file):
    """Write a table of little more than a megabyte that is 12 GB in memory."""
    old = pq.read_table(file)
    rows, text = 600_000, "x" * 20_000
    codes = pa.array(np.zeros(rows, np.int32))
    columns = {
        "uid": pa.array([str(n) for n in range(rows)]),
        "text": pa.DictionaryArray.from_arrays(codes, pa.array([text])),
        "images": pa.array([[]] * rows, old.schema.field("images").type),
        "trained_row": pa.array(np.zeros(rows, np.int64)),
        "frequency": pa.array(np.zeros(rows, np.int64)),
    }
    pq.write_table(pa.table(columns), file, compression="zstd")
    width = np.load(file.parent / "label_texts.npy").shape[1]
    for name in ("label_texts.npy", "label_prototypes.npy"):  # as many rows, so that the table fits
        np.save(file.parent / name, np.zeros((rows, width), np.float32))


def weights(edit):
    def damage(file):
        state = load_file(file)
        edit(state)
        save_file(state, file)

    return damage


def relevance(edit):
    def damage(file):
        matrix = sp.load_npz(file).tocsr()
        edit(matrix)
        arrays = {"format": b"csr", "shape": matrix.shape}
        np.savez(file, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, **arrays)

    return damage


def set_index(matrix):
    matrix.indices[0] = 1_000_000


def set_indptr(matrix):
    matrix.indptr[1] = -5


def first(state):
    return next(name for name, value in state.items() if value.ndim == 2)


def nan_weight(state):
    state[first(state)][0, 0] = np.nan


def drop_weight(state):
    del state[first(state)]


DEEP = "[" * 100_000 + "]" * 100_000
CASES = {
    "settings-no-json": ("settings.json", write("{")),
    "settings-list": ("settings.json", write("[]")),
    "settings-null": ("settings.json", write("null")),
    "settings-deep": ("settings.json", write(DEEP)),
    "settings-deep-inside": ("settings.json", write('{"retrieval": ' + DEEP + "}")),
    "settings-latin1": ("settings.json", write(b'{"dataset": "\xe9"}')),
    "settings-nan": ("settings.json", change("retrieval", "augmentation", "temperature", value=float("nan"))),
    "settings-type": ("settings.json", change("retrieval", value="exact")),
    "settings-type-deep": ("settings.json", change("vision", "tiny_image_size", value={"a": 1})),
    "settings-unknown": ("settings.json", change("on_load", value="run")),
    "index-list": ("index/index.json", write("[1]")),
    "index-type": ("index/index.json", change("kind", value=7)),
    "index-vectors-short": ("index/vectors.npy", array(lambda old: old[:-1])),
    "index-vectors-width": ("index/vectors.npy", array(lambda old: old[:, :-1])),
    "index-vectors-type": ("index/vectors.npy", array(lambda old: old.astype(np.int64))),
    "index-vectors-nan": ("index/vectors.npy", array(poison(np.nan))),
    "prototypes-nan": ("label_prototypes.npy", array(poison(np.nan))),
    "prototypes-infinite": ("label_texts.npy", array(poison(np.inf))),
    "prototypes-negative-shape": ("label_prototypes.npy", header((-1, 16))),
    "prototypes-huge-shape": ("label_prototypes.npy", header((1 << 50, 16))),
    "prototypes-vector": ("label_texts.npy", header((48 * 16,))),
    "prototypes-objects": ("label_texts.npy", header((48, 16), "|O")),
    "prototypes-complex": ("label_texts.npy", array(lambda old: old.astype(np.complex64))),
    "prototypes-no-array": ("label_texts.npy", write("no array")),
    "prototypes-empty-file": ("label_texts.npy", write("")),
    "labels-no-table": ("labels.parquet", write("PAR1 no table PAR1")),
    "labels-shorter": ("labels.parquet", table(lambda old: old.iloc[:-1])),
    "labels-longer": ("labels.parquet", table(lambda old: pd.concat([old, old]))),
    "labels-no-uid": ("labels.parquet", table(lambda old: old.drop(columns="uid"))),
    "labels-no-trained-row": ("labels.parquet", table(lambda old: old.drop(columns="trained_row"))),
    "labels-missing-text": ("labels.parquet", table(lambda old: old.assign(text=[None, *old["text"][1:]]))),
    "labels-numbers-as-text": ("labels.parquet", table(lambda old: old.assign(text=range(len(old))))),
    "labels-text-as-row": ("labels.parquet", table(lambda old: old.assign(trained_row="a"))),
    "labels-images-as-text": ("labels.parquet", table(lambda old: old.assign(images="a"))),
    "labels-negative-row": ("labels.parquet", table(lambda old: old.assign(trained_row=-2))),
    "labels-bomb": ("labels.parquet", bomb),
    "queries-other-number": ("train_items.parquet", table(lambda old: old.iloc[1:])),
    "queries-width": ("train_queries.npy", array(lambda old: old[:, :-1])),
    "relevance-no-zip": ("train_relevance.npz", write("PK no zip")),
    "relevance-index": ("train_relevance.npz", relevance(set_index)),
    "relevance-indptr": ("train_relevance.npz", relevance(set_indptr)),
    "relevance-shape": ("train_relevance.npz", lambda file: sp.save_npz(file, sp.csr_matrix((3, 3)))),
    "spec-list": ("model/model.json", write("[]")),
    "spec-empty": ("model/model.json", write("{}")),
    "spec-backbone": ("model/model.json", change("backbone", value=5)),
    "spec-labels": ("model/model.json", change("num_labels", value="many")),
    "spec-labels-huge": ("model/model.json", change("num_labels", value=1 << 60)),
    "spec-chunk": ("model/model.json", change("chunk_tokens", value=-1)),
    "config-list": ("model/backbone_config.json", write("[]")),
    "config-type": ("model/backbone_config.json", change("model_type", value="none such")),
    "config-no-type": ("model/backbone_config.json", change("model_type", value=None)),
    "config-huge-width": ("model/backbone_config.json", change("hidden_size", value=1 << 22)),
    "config-huge-number": ("model/backbone_config.json", change("vocab_size", value=1 << 60)),
    "config-layers": ("model/backbone_config.json", change("num_hidden_layers", value=1_000_000)),
    "config-width-as-text": ("model/backbone_config.json", change("hidden_size", value="wide")),
    "weights-cut": ("model/model.safetensors", lambda file: file.write_bytes(file.read_bytes()[:-100])),
    "weights-header": ("model/model.safetensors", write(struct.pack("<Q", 1 << 60) + b"{}")),
    "weights-no-json": ("model/model.safetensors", write(struct.pack("<Q", 4) + b"nope")),
    "weights-empty": ("model/model.safetensors", write(b"")),
    "weights-nan": ("model/model.safetensors", weights(nan_weight)),
    "weights-missing": ("model/model.safetensors", weights(drop_weight)),
    "weights-shape": ("model/model.safetensors", weights(lambda state: state.update({first(state): np.zeros((1, 1))}))),
    "tokenizer-no-json": ("model/tokenizer/tokenizer.json", write("{")),
    "tokenizer-deep": ("model/tokenizer/tokenizer.json", write(DEEP)),
    "tokenizer-empty": ("model/tokenizer/tokenizer.json", write("{}")),
    "tokenizer-model": ("model/tokenizer/tokenizer.json", change("model", "type", value="None such")),
    "tokenizer-merges": ("model/tokenizer/tokenizer.json", change("model", "merges", value=[["zz", "qq"]])),
    "tokenizer-padding": (
        "model/tokenizer/tokenizer.json",
        change("padding", value={"strategy": {"Fixed": 1 << 60}, "direction": "Right"}),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_file_is_named(stranger, case):
    name, damage = CASES[case]
    damage(stranger / name)
    seal(stranger)
    with pytest.raises(StateError) as err:
        Predictor.open(stranger, device="cpu")
    message = str(err.value)
    assert str(stranger) in message
    shown = [name, name.split("/")[0], "predictor: "]  # or the folder, where two files do not fit together
    assert any(part in message for part in shown), message


def test_the_predictor_itself_opens(stranger, predictor):
    opened = Predictor.open(stranger, device="cpu")
    assert opened.predict("red vase") == predictor.predict("red vase")


@pytest.mark.parametrize("missing", ["settings.json", "labels.parquet", "label_texts.npy", "model/model.json", "index"])
def test_a_part_that_is_missing_is_named(stranger, missing):
    shutil.rmtree(stranger / missing) if missing == "index" else (stranger / missing).unlink()
    seal(stranger)
    with pytest.raises(StateError, match="missing"):
        Predictor.open(stranger, device="cpu")


def test_small_files_that_announce_much(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1 << 27, np.float32))  # half a gigabyte, of half a megabyte
    with pytest.raises(StateError, match="when unpacked"):
        read_arrays(tmp_path / "a.npz")
    with (tmp_path / "a.json").open("wb") as stream:
        stream.truncate(1 << 34)
    with pytest.raises(StateError, match="too large"):
        read_document(tmp_path / "a.json")
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(StateError, match="no regular"):
        read_document(tmp_path / "b.json")


@pytest.mark.parametrize("pattern", ["(" * 5_000 + "a" + ")" * 5_000, "a" * 6_000, "(?:a|aa)+$", "(?<x>"])
def test_a_tokenizer_whose_pattern_ends_the_process_or_never_ends_is_refused(stranger, monkeypatch, pattern):
    monkeypatch.setattr("vixml.models.saved._SECONDS", 20)
    file = stranger / "model/tokenizer/tokenizer.json"
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    change("pre_tokenizer", value=split)(file)
    with pytest.raises(StateError, match="tokenizer") as err:
        check_tokenizer(file)
    assert str(file) in str(err.value)


def test_a_tokenizer_with_a_harmless_pattern_of_its_own_is_taken(stranger):
    file = stranger / "model/tokenizer/tokenizer.json"
    split = {"type": "Split", "pattern": {"Regex": r"\s+"}, "behavior": "Removed", "invert": False}
    change("pre_tokenizer", value=split)(file)
    check_tokenizer(file)


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
