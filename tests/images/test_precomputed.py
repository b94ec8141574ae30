"""Pre-computed image embeddings: the same bank as from files, without a file; what contradicts is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError, DataError
from vixml.data.sides import Side
from vixml.images import precomputed
from vixml.images.bank import ImageBank, build_image_bank
from vixml.images.precomputed import collect_rows, is_reference, read_embedding_rows
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams
from vixml.params.data.vision import VisionParams

SIGLIP = VisionParams(model="ViT-SO400M-14-SigLIP2-378", pretrained="webli")
WIDTH = 1152
MAPS = {
    "trn": [[0, 1, 2, 3], -1, [4], [6, 5]],
    "tst": [-1, [0]],
    "lbl": [[1, 0], [2], -1],
}
LONG = {"trn": "train", "tst": "test", "lbl": "labels"}
NUM_ROWS = {"trn": 8, "tst": 1, "lbl": 3}


def write_official(raw: Path, maps=MAPS, num_rows=NUM_ROWS, width=WIDTH) -> dict[str, np.ndarray]:
    """A folder as the authors publish it: texts of the benchmark, embeddings, maps."""
    raw.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for side, entries in maps.items():
        items = [{"uid": f"{side}{i}", "title": f"title {i}", "content": ""} for i in range(len(entries))]
        if side != "lbl":
            items = [{**item, "target_ind": [i % 3], "target_rel": [1.0]} for i, item in enumerate(items)]
        (raw / f"{side}.json").write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
        rng = np.random.default_rng(len(arrays))
        arrays[side] = rng.standard_normal((num_rows[side], width), dtype=np.float32)
        np.save(raw / f"{side}_embs_imgs_3_1152_siglip2.npy", arrays[side])
        objects = np.empty(len(entries), dtype=object)
        for place, entry in enumerate(entries):
            objects[place] = entry
        np.save(raw / f"{LONG[side]}_imgs_384_3_map.npy", objects, allow_pickle=True)
    return arrays


def build(raw: Path, tmp_path: Path, params: DataParams, vision: VisionParams = SIGLIP):
    found = ingest(raw, params, 0)
    items = {side: getattr(found, f"items_{side}") for side in ("train", "validation", "test", "label")}
    (tmp_path / "work").mkdir(exist_ok=True)
    built = build_image_bank(raw, items, vision, 0, WorkDirectory(tmp_path / "work"))
    return found, built, ImageBank.open(built.path)


def test_the_bank_holds_the_rows_that_the_map_names(tmp_path):
    arrays = write_official(tmp_path / "raw")
    found, built, bank = build(tmp_path / "raw", tmp_path, DataParams(image_embeddings="."))
    assert bank.vectors.dtype == np.float16
    assert bank.dim == WIDTH
    for side, name in (("train", "trn"), ("test", "tst"), ("label", "lbl")):
        rows = bank.images_of(side)
        for item, entry in enumerate(MAPS[name]):
            expected = arrays[name][[] if entry == -1 else entry[:3]].astype(np.float16)
            np.testing.assert_array_equal(bank.vectors[rows.row(item)], expected)
    assert len(bank.images_of("validation")) == 0
    assert len(bank.vectors) == 6 + 1 + 3  # row 7 of trn belongs to no item, row 3 is beyond the limit
    assert built.meta["report"]["images_encoded_now"] == 0
    assert built.meta["report"]["items_without_image"] == {"train": 1, "validation": 0, "test": 1, "label": 1}
    assert found.report["repairs"]["images_beyond_limit"] == 1
    assert found.report["repairs"]["image_embeddings_without_item"] == 1
    assert found.report["sides"]["train"]["with_image"] == 3


def test_a_validation_split_and_a_folder_below(tmp_path):
    arrays = write_official(tmp_path / "raw" / "official")
    for side in MAPS:
        (tmp_path / "raw" / "official" / f"{side}.json").rename(tmp_path / "raw" / f"{side}.json")
    params = DataParams(image_embeddings="official", validation_fraction=0.5)
    found, _, bank = build(tmp_path / "raw", tmp_path, params)
    for side in ("train", "validation"):
        for item, uid in enumerate(getattr(found, f"items_{side}")["uid"]):
            entry = MAPS["trn"][int(uid.removeprefix("trn"))]
            expected = arrays["trn"][[] if entry == -1 else entry[:3]].astype(np.float16)
            np.testing.assert_array_equal(bank.vectors[bank.images_of(side).row(item)], expected)


def test_many_rows_are_copied_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(precomputed, "_BLOCK", 2)
    maps = {side: [[i] for i in reversed(range(9))] for side in MAPS}
    arrays = write_official(tmp_path / "raw", maps, dict.fromkeys(MAPS, 9))
    _, _, bank = build(tmp_path / "raw", tmp_path, DataParams(image_embeddings="."))
    np.testing.assert_array_equal(bank.vectors, np.concatenate(list(arrays.values())).astype(np.float16))


def test_rows_of_several_items_are_stored_once(tmp_path):
    maps = {**MAPS, "trn": [[0], [0, 1], -1, [1]]}
    write_official(tmp_path / "raw", maps, {**NUM_ROWS, "trn": 2})
    _, _, bank = build(tmp_path / "raw", tmp_path, DataParams(image_embeddings="."))
    assert len(bank.vectors) == 2 + 1 + 3
    assert bank.images_of("train").row(0).tolist() == bank.images_of("train").row(1).tolist()[:1]


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_a_row_that_is_not_finite_is_named(tmp_path, value, kind):
    arrays = write_official(tmp_path / "raw")
    arrays["lbl"][1, 7] = value
    np.save(tmp_path / "raw" / "lbl_embs_imgs_3_1152_siglip2.npy", arrays["lbl"])
    with pytest.raises(DataError, match=rf"lbl_embs.*{kind}|NaN or infinity in row 1"):
        build(tmp_path / "raw", tmp_path, DataParams(image_embeddings="."))


def test_values_beyond_float16_are_clipped(tmp_path):
    arrays = write_official(tmp_path / "raw")
    arrays["tst"][0, 0] = 1e9
    np.save(tmp_path / "raw" / "tst_embs_imgs_3_1152_siglip2.npy", arrays["tst"])
    _, _, bank = build(tmp_path / "raw", tmp_path, DataParams(image_embeddings="."))
    assert bank.vectors[bank.images_of("test").row(1)][0, 0] == np.finfo(np.float16).max


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("trn", np.zeros((8, WIDTH)), "float64"),
        ("trn", np.zeros(8, np.float32), r"\(8,\)"),
        ("trn", np.zeros((8, 0), np.float32), r"\(8, 0\)"),
        ("trn", np.zeros((8, 2, 2), np.float32), r"\(8, 2, 2\)"),
        ("trn", np.array([{}], dtype=object), "pickle|object|Array can't be memory-mapped"),
        ("tst", np.zeros((1, 768), np.float32), "differ in width"),
        ("trn", np.zeros((6, WIDTH), np.float32), "out of range"),
    ],
)
def test_arrays_that_are_none(tmp_path, name, array, says):
    write_official(tmp_path / "raw")
    np.save(tmp_path / "raw" / f"{name}_embs_imgs_3_1152_siglip2.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=says):
        ingest(tmp_path / "raw", DataParams(image_embeddings="."), 0)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'"])
def test_damaged_arrays(tmp_path, content):
    write_official(tmp_path / "raw")
    (tmp_path / "raw" / "trn_embs_imgs_3_1152_siglip2.npy").write_bytes(content)
    with pytest.raises(DataError, match="not one of image embeddings"):
        ingest(tmp_path / "raw", DataParams(image_embeddings="."), 0)


def test_an_array_that_is_cut_off(tmp_path):
    write_official(tmp_path / "raw")
    file = tmp_path / "raw" / "trn_embs_imgs_3_1152_siglip2.npy"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="not one of image embeddings"):
        ingest(tmp_path / "raw", DataParams(image_embeddings="."), 0)


def test_item_counts_must_agree(tmp_path):
    write_official(tmp_path / "raw")
    with (tmp_path / "raw" / "lbl.json").open("a", encoding="utf-8") as stream:
        stream.write('{"uid": "more", "title": "t"}\n')
    with pytest.raises(DataError, match=r"labels_imgs_384_3_map\.npy: the image map is of another shape.*\(4,\)"):
        ingest(tmp_path / "raw", DataParams(image_embeddings="."), 0)


def test_missing_and_doubled_files(tmp_path):
    write_official(tmp_path / "raw")
    file = tmp_path / "raw" / "test_imgs_384_3_map.npy"
    (tmp_path / "raw" / "test_imgs_512_3_map.npy").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="several files of image embeddings"):
        ingest(tmp_path / "raw", DataParams(image_embeddings="."), 0)
    for old in tmp_path.glob("raw/test_imgs*"):
        old.unlink()
    with pytest.raises(DataError, match=r"missing.*test_imgs_\*_map\.npy"):
        ingest(tmp_path / "raw", DataParams(image_embeddings="."), 0)


@pytest.mark.parametrize("folder", ["/tmp", "../elsewhere", "a/../../b"])
def test_a_folder_outside_is_refused(tmp_path, folder):
    with pytest.raises(DataError, match="outside the raw folder"):
        read_embedding_rows(tmp_path, folder, {Side.TRAIN: 1}, most=3)


@pytest.mark.parametrize("model", ["tiny", "ViT-B-32"])
def test_the_model_must_be_the_one_that_made_them(tmp_path, model):
    write_official(tmp_path / "raw")
    with pytest.raises(ConfigError, match=rf"is not the model that made.*{model}"):
        build(tmp_path / "raw", tmp_path, DataParams(image_embeddings="."), VisionParams(model=model))


def test_a_row_that_is_gone_since_ingestion_is_named(tmp_path):
    write_official(tmp_path / "raw")
    with pytest.raises(DataError, match="8 rows, of which row 9 is asked for"):
        collect_rows(tmp_path / "raw", ["trn_embs_imgs_3_1152_siglip2.npy#9"], SIGLIP)
    with pytest.raises(DataError, match="mixed"):
        collect_rows(tmp_path / "raw", ["trn_embs_imgs_3_1152_siglip2.npy#1", "a.png"], SIGLIP)


def test_what_is_a_reference():
    assert is_reference("official/trn_embs.npy#17")
    assert not any(map(is_reference, ["a.png", "a.npy", "a.npy#", "a.npy#x", "#1"]))
