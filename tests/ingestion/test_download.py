"""Image download against a local server that misbehaves in every way a web does."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.web import FAST, params, picture

from vixml.core.directories import WorkDirectory
from vixml.core.errors import DataError, StorageError
from vixml.ingestion.download import download_images, file_of, pad_to_square
from vixml.ingestion.ingest import ingest
from vixml.params.data.ingestion import DataParams


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (1, 90), (7, 7)])
def test_padding_is_white_and_centred(size):
    square = np.asarray(pad_to_square(Image.new("RGB", size, "black"), 32))
    assert square.shape == (32, 32, 3)
    ink = np.argwhere(square[:, :, 0] < 128)
    spans = ink.max(axis=0) - ink.min(axis=0) + 1
    assert max(spans) == 32
    assert abs(ink.min(axis=0) + ink.max(axis=0) - 31).max() <= 1
    assert set(np.unique(square)) <= {0, 255}


def shop(folder: Path, urls: list[str]) -> DataParams:
    """A table of queries with one URL each and a path or nothing here and there."""
    rows = [f"{i:03d},text {i},a|b,{url}" for i, url in enumerate(urls)]
    folder.mkdir(exist_ok=True)
    (folder / "items.csv").write_text("\n".join(["id,title,tags,image", *rows]) + "\n", encoding="utf-8")
    queries = {"file": "items.csv", "id": "id", "text": ["title"], "images": ["image"], "labels": "tags"}
    return DataParams.model_validate({"mapping": {"queries": queries, "split": {"by": "last", "test_fraction": 0.5}}})


def work(tmp_path: Path) -> WorkDirectory:
    (tmp_path / "work").mkdir(exist_ok=True)
    return WorkDirectory(tmp_path / "work")


def test_urls_of_a_table_become_files_that_ingestion_finds(tmp_path, web):
    paths = ["ok", "ok?2", "status/404", "jpeg", "half", "lie", "bomb", "ok", "cut"]
    raw = tmp_path / "shop"
    data = shop(raw, [*map(web.url, paths), "local.png", ""])
    found = download_images(raw, data, params(), work(tmp_path))
    assert {k: found.report[k] for k in ("urls", "images", "fetched_now", "failed")} == {
        "urls": 8,
        "images": 3,
        "fetched_now": 3,
        "failed": 5,
    }
    reasons = dict(zip(found.failures["url"], found.failures["reason"], strict=True))
    assert reasons.pop(web.url("lie")) in ("no image", "corrupt")
    assert reasons == {
        web.url("status/404"): "http 404",
        web.url("half"): "corrupt",
        web.url("bomb"): "too large",
        web.url("cut"): "connection failed",
    }
    items = ingest(raw, data, 0)
    images = [list(i) for i in [*items.items_train["images"], *items.items_test["images"]]]
    assert images[0] == images[7] == [file_of(web.url("ok"), 384)]
    assert [bool(entry) for entry in images] == [True, True, False, True, False, False, False, True, False, True, False]
    with Image.open(raw / images[3][0]) as image:
        assert (image.size, image.format) == ((384, 384), "JPEG")
    assert items.report["repairs"]["image_urls_not_downloaded"] == 5

    before = web.seen.copy()
    again = download_images(raw, data, params(), work(tmp_path))
    assert again.report["fetched_now"] == 0
    assert again.report["failed"] == 5
    assert web.seen - before == Counter({"/cut": 2})  # what may pass is tried again, what is dead is not
    third = download_images(raw, data, params(retry_dead=True), work(tmp_path))
    assert third.report["failed"] == 5
    assert web.seen["/status/404"] == 2


def test_the_benchmarks_list_of_urls_becomes_its_manifest(tmp_path, web):
    raw = tmp_path / "raw"
    raw.mkdir()
    for side, uids in (("trn", "ab"), ("tst", "c"), ("lbl", "ax")):
        lines = [
            f'{{"uid": "{u}", "title": "t", "content": "", "target_ind": [0], "target_rel": [1.0]}}\n' for u in uids
        ]
        (raw / f"{side}.json").write_text("".join(lines), encoding="utf-8")
    urls = {"id": ["a", "c", "c", "x", "zz"], "url": [web.url(p) for p in ("ok", "ok?c", "jpeg", "status/410", "ok")]}
    pd.DataFrame(urls).to_parquet(raw / "img_urls.parquet")
    found = download_images(raw, DataParams(), params(size=0), work(tmp_path))
    assert found.report["images"] == 3
    items = ingest(raw, DataParams(), 0)
    assert items.items_train["images"].tolist() == [[file_of(web.url("ok"), 0)], []]
    assert len(items.items_test["images"][0]) == 2
    assert items.items_label["images"].tolist() == [[file_of(web.url("ok"), 0)], []]
    assert (raw / items.items_label["images"][0][0]).read_bytes() == picture()
    pd.DataFrame({"split": ["trn"], "uid": ["a"], "file": ["mine.png"]}).to_parquet(raw / "images.parquet")
    with pytest.raises(DataError, match="of yours"):
        download_images(raw, DataParams(), params(), work(tmp_path))


def test_the_list_of_mm_amazontitles_300k_becomes_its_manifest(tmp_path, web):
    raw = tmp_path / "raw"
    (raw / "raw_data").mkdir(parents=True)
    for side, lines in (("train", "a->red\nb->blue\n"), ("test", "c->green\n"), ("label", "a->red\nx->grey\n")):
        (raw / "raw_data" / f"{side}.raw.txt").write_text(lines, encoding="utf-8")
    (raw / "trn_X_Y.txt").write_text("2 2\n0:1\n1:1\n", encoding="utf-8")
    (raw / "tst_X_Y.txt").write_text("1 2\n0:1\n", encoding="utf-8")
    listed = f"a\t{web.url('ok')}\nc\t{web.url('jpeg')}\nno address\n\nzz\tftp://x\n"
    (raw / "img.urls.txt").write_text(listed, encoding="utf-8")
    assert download_images(raw, DataParams(), params(size=0), work(tmp_path)).report["images"] == 2
    items = ingest(raw, DataParams(), 0)
    assert items.items_train["images"].tolist() == [[file_of(web.url("ok"), 0)], []]
    assert items.items_test["images"].tolist() == [[file_of(web.url("jpeg"), 0)]]
    assert items.items_label["images"].tolist() == [[file_of(web.url("ok"), 0)], []]


def test_no_url_at_all_is_an_error(tmp_path):
    with pytest.raises(DataError, match="named by a URL"):
        download_images(tmp_path / "s", shop(tmp_path / "s", ["a.png"] * 4), params(), work(tmp_path))
    with pytest.raises(DataError, match="img_urls"):
        download_images(tmp_path / "s", DataParams(), params(), work(tmp_path))


def test_a_killed_download_continues(tmp_path, web):
    raw = tmp_path / "shop"
    data = shop(raw, [web.url(f"{'ok' if i < 6 else 'gated'}/{i}") for i in range(12)])
    (raw / "params.json").write_text(data.model_dump_json(), encoding="utf-8")
    work(tmp_path)
    code = (
        "import sys; from pathlib import Path; from vixml.core.directories import WorkDirectory\n"
        "from vixml.ingestion.download import download_images; from vixml.params.data.ingestion import DataParams\n"
        "from vixml.params.data.download import DownloadParams\n"
        "raw = Path(sys.argv[1]); data = DataParams.model_validate_json((raw / 'params.json').read_text())\n"
        f"download_images(raw, data, DownloadParams(**{FAST!r}), WorkDirectory(Path(sys.argv[2])))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(raw), str(tmp_path / "work")])
    deadline = time.monotonic() + 600
    while (done := len(list(raw.rglob("*.jpg")))) < 6 or sum(web.seen.values()) < 10:
        assert child.poll() is None
        assert time.monotonic() < deadline
        web.gate.wait(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert done == 6
    web.gate.set()
    before = web.seen.copy()
    found = download_images(raw, data, params(), work(tmp_path))
    assert (found.report["images"], found.report["fetched_now"]) == (12, 6)
    assert all(path.startswith("/gated/") for path in web.seen - before)
    assert sorted(p.suffix for p in (raw / "images" / "downloaded").rglob("*") if p.is_file()) == [".jpg"] * 12


@pytest.mark.parametrize(("path", "method"), [("ok", "write_bytes"), ("status/404", "open")])
def test_a_full_disk_ends_the_download_with_its_reason_and_a_rerun_completes_it(
    tmp_path, web, monkeypatch, path, method
):
    raw = tmp_path / "shop"
    data = shop(raw, [web.url(path), ""])

    real = getattr(Path, method)

    def full(self, *args, **kwargs):
        if method == "write_bytes" or self.name == "dead.jsonl":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, full)
        with pytest.raises(StorageError, match="disk is full"):
            download_images(raw, data, params(), work(tmp_path))
    assert not (raw / "images" / "downloaded.csv").exists()
    report = download_images(raw, data, params(), work(tmp_path)).report
    assert (report["images"], report["failed"]) == ((1, 0) if path == "ok" else (0, 1))
