"""Predictors from anybody whose files are malformed: an error that names the file, nothing that stops the process."""

from __future__ import annotations

import os
import shutil
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file
from tests.serving.strangers import change, seal, stranger

from vixml import Predictor
from vixml.core.errors import StateError
from vixml.core.guards.untrusted import read_arrays, read_document
from vixml.models.saved import check_tokenizer

__all__ = ["stranger"]


def write(text):
    return lambda file: file.write_bytes(text if isinstance(text, bytes) else text.encode())


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
