"""Fuzzing: whatever bytes lie in a raw file, the readers return data or raise an error of our family.

A bounded and repeatable run; VIXML_FUZZ_EXAMPLES=20000 looks further, at random.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vixml.core.errors import VixmlError
from vixml.data.sides import Side
from vixml.images.decode import REASONS, PictureError, decode
from vixml.ingestion.benchmark.json_lines import read_filter, read_side, relevance_matrix
from vixml.ingestion.benchmark.sparse_matrix import read_sparse_text
from vixml.ingestion.ingest import ingest
from vixml.ingestion.manifests import read_groups, read_images
from vixml.params.data.ingestion import DataParams

EXAMPLES = int(os.environ.get("VIXML_FUZZ_EXAMPLES", "0"))
fuzz = settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def image(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.linear_gradient("L").resize((24, 20)).convert(mode)
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"split": ["trn", "lbl"], "uid": ["a", "x"], "file": ["a.png", "x.png"]}).to_parquet(buffer)
    return buffer.getvalue()


POINT = json.dumps({"uid": "a", "title": "größe", "content": "c", "target_ind": [1, 0], "target_rel": [1.0, 0.5]})
LINES = (f"{POINT}\n" + POINT.replace('"a"', '"b"') + "\n").encode()
VALID = {
    "side": [LINES, gzip.compress(LINES, mtime=0), b"\xef\xbb\xbf" + LINES],
    "filter": [b"0 1\n1 0\n", b"\xef\xbb\xbf2 1\r\n"],
    "sparse": [b"2 3\n0:1 2:0.5\n1:2\n", gzip.compress(b"2 3\n\n0:1\n", mtime=0)],
    "csv": [b'split,uid,file\ntrn,a,a.png\nlbl,x,"x y.png"\n', b"uid,split,group\na,trn,g\n"],
    "parquet": [parquet()],
    "image": [
        *(image(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")),
        image("PNG", "P", transparency=0),
        image("PNG", "I;16"),
        image("JPEG", "CMYK"),
        image("TIFF", "F"),
    ],
}


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> bytes:
    """Arbitrary bytes, or a valid file with pieces cut out, overwritten, repeated or put in."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(VALID[kind])))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        until = min(len(content), place + draw(st.integers(0, 12)))
        piece = draw(st.one_of(st.binary(max_size=6), st.sampled_from([b"", b"\n", b"-1", b"NaN", b"null", b"9" * 25])))
        content[place:until] = piece * draw(st.sampled_from([1, 1, 1, 50]))
    return bytes(content)


def survives(action: object, *arguments: object, **options: object) -> object:
    """Call a reader; only errors of our family may come out."""
    try:
        return action(*arguments, **options)
    except VixmlError:
        return None


@fuzz
@given(content=damaged("side"), points=st.booleans())
def test_points_and_labels(tmp_path: Path, content: bytes, points: bool) -> None:
    file = tmp_path / "trn.json"
    file.write_bytes(content)
    side = survives(read_side, file, with_targets=points)
    if side is not None:
        survives(relevance_matrix, side, 2)


@fuzz
@given(content=damaged("filter"))
def test_filters(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "filter.txt"
    file.write_bytes(content)
    survives(read_filter, file, 3, 4)


@fuzz
@given(content=damaged("sparse"))
def test_sparse_text(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "trn_X_Y.txt"
    file.write_bytes(content)
    survives(read_sparse_text, file)


@fuzz
@given(content=st.one_of(damaged("csv"), damaged("parquet")), name=st.sampled_from(["images.csv", "images.parquet"]))
def test_image_manifest(tmp_path: Path, content: bytes, name: str) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    (tmp_path / name).write_bytes(content)
    survives(read_images, tmp_path, {Side.TRAIN: ["a"], Side.TEST: [], Side.LABEL: ["x"]}, most=2)


@fuzz
@given(content=damaged("csv"))
def test_groups(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "groups.csv").write_bytes(content)
    survives(read_groups, tmp_path, Side.TRAIN, ["a", "b"])


@fuzz
@given(content=damaged("image"))
def test_images(content: bytes) -> None:
    try:
        picture = decode(content, 1_000_000)
    except PictureError as caught:
        reason = caught.reason
    else:
        reason = "ok"
        assert picture.mode == "RGB"
        assert min(picture.size) > 0
    assert reason in REASONS


@fuzz
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=4), fields=st.sampled_from(["title", "title+content"]))
def test_whole_folders_of_any_text(tmp_path: Path, texts: list[str], fields: str) -> None:
    """Any text that JSON can hold becomes a text that Parquet can hold."""
    items = [
        {"uid": str(row), "title": text, "content": text[::-1], "target_ind": [0], "target_rel": [1]}
        for row, text in enumerate(texts)
    ]
    for name in ("trn", "tst", "lbl"):
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(item) + "\n" for item in items))
    found = ingest(tmp_path, DataParams(text_fields=fields), 0)
    assert all(found.items_train["text"].str.len() > 0)
    found.items_train.to_parquet(tmp_path / "items.parquet")


def test_the_valid_files_are_valid(tmp_path: Path) -> None:
    """Mutations begin at files that the readers take."""
    for content in VALID["side"]:
        (tmp_path / "trn.json").write_bytes(content)
        assert len(read_side(tmp_path / "trn.json", with_targets=True)) == 2
    for content in VALID["sparse"]:
        (tmp_path / "f").write_bytes(content)
        assert read_sparse_text(tmp_path / "f")[0].shape == (2, 3)
    for content in VALID["image"]:
        assert decode(content, 1_000_000).size == (24, 20)
    (tmp_path / "images.parquet").write_bytes(VALID["parquet"][0])
    images, _ = read_images(tmp_path, {Side.TRAIN: ["a"], Side.TEST: [], Side.LABEL: ["x"]}, most=2)
    assert images[Side.TRAIN] == [["images/a.png"]]
    with pytest.raises(VixmlError):
        read_filter(tmp_path / "f", 3, 4)
