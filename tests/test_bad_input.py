"""Every row of the table in docs/bad_input.md: one test each, and each test in the table."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from PIL import Image

from vixml.core.directories import WorkDirectory
from vixml.core.errors import VixmlError
from vixml.hooks import user_error
from vixml.images.bank import build_image_bank
from vixml.images.decode import decode
from vixml.ingestion.benchmark.sparse_matrix import read_sparse_text
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams
from vixml.params.data.vision import VisionParams

TABLE = (Path(__file__).resolve().parents[1] / "docs" / "bad_input.md").read_text(encoding="utf-8")
CELLS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines() if line.startswith("| ")
]
DOCS = {cells[0]: cells for cells in CELLS if cells[0] != "id"}
ROWS: dict[str, Callable[..., Any]] = {}
RUNS = ("k-above-labels", "batch-above-data", "single-label", "single-query", "no-images", "nothing-to-learn")
"""Rows that need a whole run."""

CHECKED_BY_KEDRO = ("key-unknown", "type-wrong", "value-out-of-range", "settings-contradict")


def row(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the test of one row; what it returns is the report (repair) or nothing (works)."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        assert ROWS.setdefault(name, function) is function, f"two tests for {name}"
        return function

    return register


def test_every_row_has_its_test_and_every_test_its_row():
    assert set(ROWS) == set(DOCS)
    assert len(DOCS) == len(CELLS) - TABLE.count("\n| id |"), "an id stands twice"
    assert len(DOCS) >= 40


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.e2e) if n in RUNS else n for n in DOCS])
def test_row(name, tmp_path, request):
    _, _, happens, says = DOCS[name]
    context = SimpleNamespace(path=tmp_path, value=1.0, fixture=request.getfixturevalue)
    if happens == "error":
        with pytest.raises((VixmlError, ParameterValidationError, DatasetError)) as caught:
            ROWS[name](context)
        shown = user_error(caught.value)
        assert shown is not None, f"the user would see a traceback of {caught.value!r}"
        assert says in " ".join(str(shown).split())
        if isinstance(shown, VixmlError):
            assert shown.remedy or shown.expected, "the user is told what would be right"
        else:
            assert name in CHECKED_BY_KEDRO
    elif happens == "repair":
        value: Any = ROWS[name](context)
        for key in says.split("."):
            value = value[key]
        assert value >= 1
    else:
        assert happens == "works"
        ROWS[name](context)


# ---- points and labels ----
POINTS = [
    {"uid": f"p{n}", "title": f"red shoe {n}", "content": "", "target_ind": [n % 3], "target_rel": [1.0]}
    for n in range(6)
]
LABELS = [{"uid": f"l{n}", "title": f"label {n}", "content": ""} for n in range(3)]


def lines(items: list[Any]) -> str:
    return "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in items)


def write_raw(root: Path, *, trn: list[Any] | None = None, tst: Any = None, lbl: list[Any] | None = None) -> Path:
    for name, items in (("trn", trn or POINTS), ("tst", tst or POINTS[:2]), ("lbl", lbl or LABELS)):
        (root / f"{name}.json").write_text(lines(items), encoding="utf-8")
    return root


def second(**fields: Any) -> list[Any]:
    """Three points, the second of them changed."""
    changed = {key: value for key, value in {**POINTS[1], **fields}.items() if value is not ...}
    return [POINTS[0], changed, POINTS[2]]


def repairs(root: Path, **params: Any) -> dict[str, Any]:
    return ingest(root, DataParams(**params), 0).report["repairs"]


@row("gzip-broken")
def _(at):
    write_raw(at.path)
    (at.path / "trn.json.gz").write_bytes(gzip.compress(lines(POINTS).encode())[:-10])
    repairs(at.path)


@row("json-broken")
def _(at):
    repairs(write_raw(at.path, trn=[POINTS[0], '{"uid": "a", ', POINTS[2]]))


@row("field-missing")
def _(at):
    repairs(write_raw(at.path, trn=second(title=...)))


@row("field-type")
def _(at):
    repairs(write_raw(at.path, trn=second(target_ind="1")))


@row("lengths-differ")
def _(at):
    repairs(write_raw(at.path, trn=second(target_rel=[])))


@row("label-out-of-range")
def _(at):
    repairs(write_raw(at.path, trn=second(target_ind=[3])))


@row("label-negative")
def _(at):
    repairs(write_raw(at.path, trn=second(target_ind=[-1])))


@row("uid-duplicate")
def _(at):
    repairs(write_raw(at.path, trn=[POINTS[0], POINTS[1], POINTS[0]]))


@row("target-duplicate")
def _(at):
    return repairs(write_raw(at.path, trn=second(target_ind=[1, 1], target_rel=[1.0, 2.0])))


@row("relevance-zero")
def _(at):
    return repairs(write_raw(at.path, trn=second(target_rel=[0])))


@row("relevance-nan")
def _(at):
    repairs(write_raw(at.path, trn=second(target_rel=[float("nan")])))


@row("text-empty")
def _(at):
    return repairs(write_raw(at.path, trn=second(title=" ")))


@row("label-without-text")
def _(at):
    return repairs(write_raw(at.path, lbl=[LABELS[0], {"uid": "l1", "title": None}, LABELS[2]]))


@row("text-huge")
def _(at):
    found = ingest(write_raw(at.path, trn=second(title="word " * 100_000)), DataParams(), 0)
    assert found.items_train["text"].str.len().max() <= 20_000
    return found.report["repairs"]


@row("surrogates")
def _(at):
    return repairs(write_raw(at.path, trn=second(title="a\ud800b")))


@row("not-utf8")
def _(at):
    write_raw(at.path)
    (at.path / "trn.json").write_bytes(lines(POINTS[:1]).encode() + '{"uid": "é"}\n'.encode("latin-1"))
    repairs(at.path)


@row("byte-order-mark")
def _(at):
    write_raw(at.path)
    (at.path / "lbl.json").write_text("\ufeff" + lines(['{"uid": 1, "title": "a"}', "", *LABELS[1:]]), "utf-8")
    assert ingest(at.path, DataParams(), 0).items_label["uid"].tolist() == ["1", "l1", "l2"]


@row("point-without-label")
def _(at):
    return ingest(write_raw(at.path, trn=second(target_ind=[], target_rel=[])), DataParams(), 0).report


@row("file-empty")
def _(at):
    write_raw(at.path)
    (at.path / "lbl.json").write_text("\n")
    repairs(at.path)


@row("file-missing")
def _(at):
    (write_raw(at.path) / "tst.json").unlink()
    repairs(at.path)


@row("folder-missing")
def _(at):
    at.fixture("kedro_run")("ingestion", params={"data_root": str(at.path / "nowhere")})


@row("content-nowhere")
def _(at):
    bare = [{key: value for key, value in item.items() if key != "content"} for item in POINTS]
    labels = [{"uid": "l", "title": "t"}] * 1
    points = [{**item, "target_ind": [0]} for item in bare]
    repairs(write_raw(at.path, trn=points, tst=points, lbl=labels), text_fields="title+content")


# ---- files beside them ----
@row("filter-out-of-range")
def _(at):
    (write_raw(at.path) / "filter_labels_train.txt").write_text("0 1\n6 0\n")
    repairs(at.path)


@row("filter-malformed")
def _(at):
    (write_raw(at.path) / "filter_labels_test.txt").write_text("0 1\n0\n")
    repairs(at.path)


@row("filter-missing")
def _(at):
    assert ingest(write_raw(at.path), DataParams(), 0).filter_train.nnz == 0


@row("manifest-broken")
def _(at):
    (write_raw(at.path) / "images.parquet").write_bytes(b"PAR1 it is not")
    repairs(at.path)


@row("manifest-column")
def _(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,path\ntrn,p0,a.png\n")
    repairs(at.path)


@row("manifest-row-without-item")
def _(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,file\ntrn,nobody,a.png\n")
    return repairs(at.path)


@row("manifest-path-leaves")
def _(at):
    (write_raw(at.path) / "images.csv").write_text("split,uid,file\ntrn,p0,../../etc/passwd\n")
    repairs(at.path)


def sparse(at: Any, text: str, **sizes: int) -> None:
    (at.path / "trn_X_Y.txt").write_text(text)
    read_sparse_text(at.path / "trn_X_Y.txt", **sizes)


@row("sparse-header-lies")
def _(at):
    sparse(at, "3 3\n0:1\n1:1\n")


@row("sparse-header-contradicts")
def _(at):
    sparse(at, "1 4\n0:1\n", num_columns=3)


@row("sparse-entry")
def _(at):
    sparse(at, "1 3\n3:1\n")


def texts(at: Any, trn: bytes = b"a->red\nb->blue\n", rows: int = 2) -> Path:
    """Text lines and sparse matrices."""
    for name, content in (("trn", trn), ("tst", b"c->green\n"), ("lbl", b"l->warm\nm->cold\n")):
        (at.path / f"{name}.raw.txt").write_bytes(content)
    (at.path / "trn_X_Y.txt").write_text(f"{rows} 2\n" + "0:1\n" * rows)
    (at.path / "tst_X_Y.txt").write_text("1 2\n1:1\n")
    return at.path


@row("raw-texts-rows")
def _(at):
    ingest(texts(at, rows=3), DataParams(), 0)


@row("raw-texts-id")
def _(at):
    ingest(texts(at, trn=b"a->red\nblue\nc->green\n", rows=3), DataParams(), 0)


@row("raw-texts-latin1")
def _(at):
    return repairs(texts(at, trn="a->grün\nb->blue\n".encode("latin-1")))


def with_embeddings(at: Any, labels: list[Any]) -> Any:
    """Pre-computed image embeddings; `labels` is the map of the labels."""
    write_raw(at.path)
    for side, name, entries in (("trn", "train", [[0]] * 6), ("tst", "test", [-1, [0]]), ("lbl", "labels", labels)):
        array = np.empty(len(entries), dtype=object)
        for place, entry in enumerate(entries):
            array[place] = entry
        np.save(at.path / f"{name}_imgs_384_3_map.npy", array, allow_pickle=True)
        np.save(at.path / f"{side}_embs_imgs_3_1152_siglip2.npy", np.full((2, 4), at.value, dtype=np.float32))
    return ingest(at.path, DataParams(image_embeddings="."), 0)


class Hostile:
    """Pickles to a program that makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


@row("map-hostile")
def _(at):
    try:
        with_embeddings(at, [[0], Hostile(at.path / "it_ran"), -1])
    finally:
        assert not (at.path / "it_ran").exists()


@row("map-other-items")
def _(at):
    with_embeddings(at, [[0], -1])


@row("map-out-of-range")
def _(at):
    with_embeddings(at, [[0], [2], -1])


@row("embeddings-nan")
def _(at):
    at.value = np.nan
    items = {"train": with_embeddings(at, [[0], [1], -1]).items_train}
    build_image_bank(at.path, items, VisionParams(model="hf-hub:a/b"), 0, WorkDirectory(at.path / "work"))


# ---- images ----
def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def bank_of(at: Any, content: bytes | None, *, good: bool = True) -> dict[str, int]:
    """Put one odd image beside a good one and build the bank with a stand-in for the model; return its failures."""
    pandas = pytest.importorskip("pandas")
    folder = at.path / "raw"
    folder.mkdir(exist_ok=True)
    if good:
        (folder / "good.png").write_bytes(picture())
    if content is not None:
        (folder / "odd.png").write_bytes(content)
    model = SimpleNamespace(
        dim=2, name="mean", identity="mean", preprocess=lambda image: np.asarray(image, dtype=np.float32).mean((0, 1))
    )
    model.encode_tensors = lambda batch: np.array([x[:2] for x in batch], dtype=np.float32).reshape(-1, 2)
    items = pandas.DataFrame({"uid": ["a", "b"], "images": [["odd.png"], ["good.png"]]})
    (at.path / "work").mkdir(exist_ok=True)
    params = VisionParams(max_pixels=1_000_000, workers=1)
    built = build_image_bank(folder, {"test": items}, params, 0, WorkDirectory(at.path / "work"), encoder=model)
    report = built.meta["report"]
    assert report["images_failed"] == 1
    assert report["items_without_image"]["test"] == 1
    return report["failed_by_reason"]


@row("image-missing")
def _(at):
    return bank_of(at, None)


@row("image-truncated")
def _(at):
    return bank_of(at, picture()[:-200])


@row("image-zero-bytes")
def _(at):
    return bank_of(at, b"")


@row("image-bomb")
def _(at):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 100_000
    return bank_of(at, buffer.getvalue())


@row("image-strip")
def _(at):
    return bank_of(at, picture(size=(1000, 2)))


@row("image-html")
def _(at):
    return bank_of(at, b"<!DOCTYPE html><html><title>404</title></html>")


@row("image-link")
def _(at):
    (at.path / "raw").mkdir()
    (at.path / "secret.png").write_bytes(picture())
    (at.path / "raw" / "odd.png").symlink_to(at.path / "secret.png")
    return bank_of(at, None)


@row("images-all-bad")
def _(at):
    bank_of(at, b"x", good=False)


def middle(content: bytes) -> tuple[int, ...]:
    return decode(content, 1_000_000).getpixel((1, 1))


@row("image-animated")
def _(at):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert middle(buffer.getvalue()) == (250, 0, 0)


@row("image-16-bit")
def _(at):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(buffer, "PNG")
    assert middle(buffer.getvalue()) == (128, 128, 128)


@row("image-cmyk")
def _(at):
    buffer = io.BytesIO()
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(buffer, "TIFF")
    red, green, blue = middle(buffer.getvalue())
    assert red > 200 > 60 > max(green, blue)


@row("image-palette-alpha")
def _(at):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    assert middle(buffer.getvalue()) == (255, 255, 255)


# ---- models and sizes ----
FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
    "batching": {"batch_size": 2048, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
    "training": {"epochs": 2, "checkpoint_every": 0, "validate_every": 0},
}


def run(at: Any, *, images: bool = True, **params: Any) -> dict[str, Any]:
    """Run the vision encoder from raw files to metrics; return its result."""
    raw = at.path / "shop"
    if images:
        (raw / "images").mkdir()
        (raw / "images" / "a.png").write_bytes(picture())
        (raw / "images.csv").write_text("split,uid,file\ntrn,p0,a.png\nlbl,l0,a.png\n")
    merged = {"data_root": str(raw), "encoder": FAMILY, "vision": {"tiny_image_size": 32}, **params}
    at.fixture("kedro_run")("ingestion", "image_embedding", "encoder_vision", params=merged)
    folder = at.fixture("project") / "data/08_reporting/shop/encoder_vision"
    result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert 0 <= result["metrics"]["P@1"] <= 1
    return result


def shop(at: Any, **sides: Any) -> None:
    (at.path / "shop").mkdir()
    write_raw(at.path / "shop", **sides)


@row("k-above-labels")
def _(at):
    shop(at)
    run(at, evaluation={"ks": [1, 3, 5], "top_k": 100})


@row("batch-above-data")
def _(at):
    shop(at)
    assert run(at)["steps"] == 2


@row("single-label")
def _(at):
    points = [{**point, "target_ind": [0]} for point in POINTS]
    shop(at, trn=points, tst=points, lbl=LABELS[:1])
    assert run(at)["metrics"]["P@1"] == 1.0


@row("single-query")
def _(at):
    shop(at, trn=POINTS[:1], tst=POINTS[:1])
    assert run(at)["queries"] == 1


@row("no-images")
def _(at):
    shop(at)
    run(at, images=False)


@row("nothing-to-learn")
def _(at):
    shop(at, trn=[{**point, "target_ind": [], "target_rel": []} for point in POINTS])
    run(at)


@row("embeddings-width")
def _(at):
    import torch

    from vixml.models.build import build_model
    from vixml.models.item_batch import ItemBatch
    from vixml.models.text.tokenizer import make_tokenizer
    from vixml.params.model import BackboneParams, ModelParams

    backbone = BackboneParams(**FAMILY["backbone"])
    tokenizer = make_tokenizer(backbone, ["red shoe"])
    model = build_model(
        backbone, ModelParams(), tokenizer=tokenizer, image_dim=8, num_labels=3, chunk_tokens=64, seed=0
    )
    with torch.no_grad():
        model.embed(item_batch(ItemBatch, width=9))


def item_batch(kind: Any, *, width: int) -> Any:
    from vixml.data.ragged import RaggedArray, offsets_of

    tokens = RaggedArray(np.array([1, 2]), offsets_of(np.array([1, 1])))
    return kind(tokens, np.zeros((1, width), dtype=np.float32), np.array([1, 0]))


@row("tokenizer-without-pad")
def _(at):
    from transformers import PreTrainedTokenizerFast

    from vixml.data.tokens import build_tokens
    from vixml.models.text.tokenizer import load_saved_tokenizer, make_tokenizer
    from vixml.params.model import BackboneParams

    trained = make_tokenizer(BackboneParams(), ["red shoe", "blue shoe"])
    bare = PreTrainedTokenizerFast(tokenizer_object=trained.backend_tokenizer)
    assert bare.pad_token is None
    sides = {"train": ["red shoe", "blue shoe and more"]}
    built = build_tokens(sides, bare, max_length=8, special_tokens=True, work=WorkDirectory(at.path))
    assert built.meta["train"]["tokens"] > 4
    assert load_saved_tokenizer(built.path / "tokenizer").pad_token is None


@row("backbone-unknown")
def _(at):
    from vixml.models.text.tokenizer import load_tokenizer

    load_tokenizer("nobody/has-such-a-model")


@row("backbone-folder")
def _(at):
    from vixml.models.text.tokenizer import load_tokenizer

    load_tokenizer(at.path)


@row("vision-unknown")
def _(at):
    from vixml.images.vision import load_vision

    load_vision(VisionParams(model="ViT-B-33"), 0)


@row("no-network")
def _(at):
    from vixml.images.vision import load_vision

    patch = at.fixture("monkeypatch")
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    patch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(at.path))
    load_vision(VisionParams(model="hf-hub:timm/ViT-B-16-SigLIP2"), 0)


# ---- parameters ----
@row("pipeline-unknown")
def _(at):
    at.fixture("kedro_run")("encoder_txt")


@row("node-unknown")
def _(at):
    at.fixture("kedro_run")("encoder_text", node_names=["train_softly"])


@row("seed-wrong")
def _(at):
    at.fixture("kedro_run")("ingestion", params={"seed": "abc"})


@row("key-unknown-top")
def _(at):
    at.fixture("kedro_run")("ingestion", params={"evaluaton": {"top_k": 5}})


@row("key-unknown-group")
def _(at):
    at.fixture("kedro_run")("ingestion", params={"encoder": {"trainin": {"epochs": 5}}})


@row("key-unknown")
def _(at):
    at.fixture("kedro_run")("encoder_text", params={"encoder_text": {"training": {"epoch": 5}}})


@row("type-wrong")
def _(at):
    at.fixture("kedro_run")("encoder_text", params={"encoder_text": {"training": {"epochs": "many"}}})


@row("value-out-of-range")
def _(at):
    at.fixture("kedro_run")("ingestion", params={"data": {"validation_fraction": 1.5}})


@row("settings-contradict")
def _(at):
    at.fixture("kedro_run")("encoder_text", params={"encoder": {"batching": {"mined_per_query": 60}}})


def test_ids_are_words():
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in DOCS)
