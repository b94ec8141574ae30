"""Image download against a local server that misbehaves in every way a web does."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vixml.core.directories import WorkDirectory
from vixml.core.errors import DataError
from vixml.images.fetch import Fetcher, FetchError, Pace, is_public
from vixml.ingestion.download import download_images, file_of, pad_to_square
from vixml.ingestion.ingest import ingest
from vixml.params.data.download import DownloadParams
from vixml.params.data.ingestion import DataParams


def picture(width: int = 40, height: int = 20, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, format=kind)
    return buffer.getvalue()


@dataclass
class Web:
    """A server on 127.0.0.1.

    Args:
        port: Its port.
        seen: Requests by path.
        gate: While it is not set, `/slow` answers nothing and `/gated` waits.
    """

    port: int
    seen: Counter[str] = field(default_factory=Counter)
    gate: threading.Event = field(default_factory=threading.Event)
    hosts: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, body: bytes, kind: str = "image/png", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in {"Content_Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        web: Web = self.server.web
        path = self.path.split("?")[0]
        web.seen[path] += 1
        web.hosts.append(self.headers["Host"])
        first, _, rest = path.strip("/").partition("/")
        if first == "ok":
            self.answer(picture())
        elif first == "gated":
            web.gate.wait(600)
            self.answer(picture())
        elif first == "jpeg":
            self.answer(picture(30, 90, "JPEG"), "application/octet-stream")
        elif first == "status":
            self.answer(b"sorry", "text/plain", int(rest))
        elif first == "busy":  # twice, then well
            if web.seen[path] <= 2:
                self.answer(b"", status=503, Retry_After="7")
            else:
                self.answer(picture())
        elif first == "slow":
            web.gate.wait(30)
        elif first == "trickle":
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            while not web.gate.wait(0.05):
                self.wfile.write(b"x")
        elif first == "drip":  # a head that never ends
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not web.gate.wait(0.05):
                self.wfile.write(b"x")
        elif first == "to":
            self.answer(b"", status=302, Location=self.path.partition("?")[2])
        elif first == "page":
            self.answer(b"<html>not here</html>", "text/html")
        elif first == "lie":
            self.answer(b"<html>not here</html>", "image/png")
        elif first == "cut":
            self.answer(picture()[:50], Content_Length="5000")
        elif first == "half":
            self.answer(picture(300, 300)[:90])
        elif first == "huge":
            self.answer(b"", Content_Length=str(10**9))
        elif first == "endless":
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        elif first == "bomb":
            self.answer(picture(3000, 3000))
        elif first == "packed":
            self.answer(b"xx", Content_Encoding="gzip")
        elif first == "empty":
            self.answer(b"")


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up are part of the tests


@pytest.fixture
def web() -> Iterator[Web]:
    server = QuietServer(("127.0.0.1", 0), Handler)
    server.web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.web
    server.web.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()


FAST = {
    "allow_private": True,
    "per_host_per_second": 0,
    "backoff_seconds": 0,
    "retries": 1,
    "timeout_seconds": 600,
    "total_seconds": 600,
    "max_bytes": 300_000,
    "max_pixels": 1_000_000,
    "concurrency": 4,
}


def params(**changes) -> DownloadParams:
    return DownloadParams.model_validate({**FAST, **changes})


@pytest.fixture
def fetch(web):
    def call(path: str, **changes) -> bytes:
        with Fetcher(params(**changes), sleep=call.slept.append) as fetcher:
            return fetcher.fetch(path if path.startswith("http") else web.url(path))

    call.slept = []
    return call


@pytest.mark.parametrize("path", ["ok", "jpeg", "to/1?/ok", "to/1?/to/2?/ok"])
def test_an_image_comes_back_as_it_is(fetch, path):
    assert Image.open(io.BytesIO(fetch(path))).size in ((40, 20), (30, 90))


@pytest.mark.parametrize(
    ("path", "reason", "attempts"),
    [
        ("status/404", "http 404", 1),
        ("status/403", "http 403", 1),
        ("status/500", "http 500", 2),
        ("status/429", "http 429", 2),
        ("page", "no image", 1),
        ("cut", "connection failed", 2),
        ("huge", "too large", 1),
        ("endless", "too large", 1),
        ("packed", "no image", 1),
        ("empty", "empty", 1),
        ("to/x?/to/x", "too many redirects", 1),
        ("to/x?ftp://127.0.0.1/a", "bad address", 1),
        ("to/x?http://user:word@127.0.0.1/a", "bad address", 1),
        ("to/x?data:image/png,AAAA", "bad address", 1),
    ],
)
def test_what_is_no_image_is_given_up_for_a_reason(fetch, web, path, reason, attempts):
    with pytest.raises(FetchError) as err:
        fetch(path, max_redirects=0 if reason.startswith("too many") else 5)
    assert err.value.reason == reason
    assert web.seen["/" + path.split("?")[0]] == attempts
    assert err.value.may_pass == (attempts == 2)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("slow", {"timeout_seconds": 0.2}),
        ("trickle", {"total_seconds": 0.3}),
        ("trickle", {"timeout_seconds": 0.01}),
        ("drip", {"total_seconds": 0.3}),
        ("to/x?/drip", {"total_seconds": 0.3}),
    ],
)
def test_a_slow_server_is_given_up(fetch, path, changes):
    with pytest.raises(FetchError) as err:
        fetch(path, retries=0, **changes)
    assert (err.value.reason, err.value.may_pass) == ("timeout", True)


def test_a_busy_server_is_asked_again_when_it_says(fetch, web):
    assert fetch("busy", retries=2, backoff_seconds=1, max_wait_seconds=60)
    assert fetch.slept == [7, 7]
    web.seen.clear()
    fetch("busy", retries=2, backoff_seconds=20, max_wait_seconds=30)
    assert fetch.slept[2:] == [20, 30]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_an_inner_address_is_refused_before_anything_is_sent(fetch, web, host):
    with pytest.raises(FetchError) as err:
        fetch(f"http://{host}:{web.port}/ok", allow_private=False)
    assert err.value.reason == "private address"
    assert not web.seen


def resolve(monkeypatch, table):
    """Let names resolve to what the table says."""

    def answer(host, port, *args, **kwargs):
        addresses = table.get(host, [host])
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        turn = addresses.pop(0) if isinstance(addresses[0], list) else addresses
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in turn]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_redirect_inside_is_refused(fetch, web, monkeypatch):
    """The first host counts as public here, so only the redirect's target is refused."""
    monkeypatch.setattr("vixml.images.fetch.is_public", lambda address: address == "127.0.0.1")
    resolve(monkeypatch, {"shop.example": ["127.0.0.1"], "inner.example": ["10.0.0.7"]})
    with pytest.raises(FetchError) as err:
        fetch(f"http://shop.example:{web.port}/to/x?http://inner.example:{web.port}/ok", allow_private=False)
    assert err.value.reason == "private address"
    assert "10.0.0.7" in err.value.detail
    assert dict(web.seen) == {"/to/x": 1}


def test_the_connection_goes_to_the_address_that_was_checked(fetch, web, monkeypatch):
    """A name that answers differently the second time (DNS rebinding) is never asked a second time."""
    monkeypatch.setattr("vixml.images.fetch.is_public", lambda address: address == "127.0.0.1")
    resolve(monkeypatch, {"shop.example": [["127.0.0.1"], ["10.0.0.7"]]})
    assert fetch(f"http://shop.example:{web.port}/ok", allow_private=False)
    assert web.hosts == [f"shop.example:{web.port}"]


def test_one_inner_address_among_public_ones_is_enough_to_refuse(fetch, monkeypatch):
    resolve(monkeypatch, {"both.example": ["93.184.216.34", "192.168.0.1"], "none.example": []})
    with pytest.raises(FetchError, match="private address"):
        fetch("http://both.example/a", allow_private=False)
    with pytest.raises(FetchError, match="unknown host"):
        fetch("http://none.example/a")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_what_is_public(address, public):
    assert is_public(address) is public


def test_a_host_is_asked_at_its_pace(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    slept: list[float] = []
    pace = Pace(4.0, slept.append)
    for host in ("a", "a", "b", "a"):
        pace.wait(host)
    assert slept == [0.25, 0.5]


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
