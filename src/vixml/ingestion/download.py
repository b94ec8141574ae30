"""URLs of a raw folder to image files beside its tables, resumable, with every dead link on record.

Where the URLs come from: the image columns of `data.mapping`, or in the benchmark's format `img_urls.parquet` (columns
id, url; also as CSV) or `img.urls.txt` (id, tab, url). Files are named by the hash of their URL and appear whole; what
is there is not fetched again. At the end `images/downloaded.csv` (url, file) is written and, in the benchmark's
format, the manifest `images.parquet`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd

from vixml.core.directories import WorkDirectory, atomic_file
from vixml.core.errors import DataError
from vixml.core.progress import progress
from vixml.core.storage import writing
from vixml.data.sides import SHORT_NAMES, Side
from vixml.images.decode import PictureError, decoded
from vixml.images.fetch import Fetcher, FetchError
from vixml.ingestion.benchmark.json_lines import read_json_lines, read_lines
from vixml.ingestion.benchmark.layouts import find_file, find_raw_file, layout_of
from vixml.ingestion.benchmark.text_lines import read_ids
from vixml.ingestion.encoding import as_text
from vixml.ingestion.tables.files import read_table
from vixml.ingestion.tables.items import DOWNLOADED, is_url
from vixml.params.data.download import DownloadParams
from vixml.params.data.ingestion import DataParams
from vixml.params.data.mapping import ItemTableParams, files_by_side

if TYPE_CHECKING:
    from PIL.Image import Image

_LISTS = ("img_urls.parquet", "img_urls.csv", "img.urls.txt")
_MANIFEST = "images.parquet"
_QUALITY = 95
_FAILURES = ("url", "reason", "detail", "try_again")


@dataclass(frozen=True)
class Downloaded:
    """What became of the URLs.

    Args:
        report: JSON-serialisable counts.
        failures: One row a URL that gave no image: url, reason, detail, try_again.
    """

    report: dict[str, Any]
    failures: pd.DataFrame


def download_images(raw: Path, data: DataParams, params: DownloadParams, work: WorkDirectory) -> Downloaded:
    """Fetch every image that the raw files name by URL.

    Args:
        raw: Folder of the raw files; images go into its folder `images`.
        data: Its mapping says which columns hold URLs.
        params: Limits and manners.
        work: Keeps the list of dead links between runs.

    Returns:
        Counts, and the links that gave no image. Dead ones are not tried again; those that may pass are.

    Raises:
        DataError: There are no URLs, or a manifest of the user's own would be replaced.
    """
    began = time.perf_counter()
    manifest = raw / _MANIFEST
    owners = None if data.mapping is not None else _listed(raw)
    if owners is not None:
        _check_replaceable(manifest)
    urls = list(dict.fromkeys(_mapped(raw, data) if owners is None else (url for _, url in owners)))
    if not urls:
        raise DataError(
            "no image is named by a URL",
            file=raw,
            expected="http or https in an image column of `data.mapping`, or img_urls.parquet with columns id, url",
        )
    journal = _Journal(work.path / "dead.jsonl")
    dead = {} if params.retry_dead else journal.read()
    missing = [url for url in urls if url not in dead and not (raw / file_of(url, params.size)).is_file()]
    fetched, failed = _fetch_all(raw, missing, params, journal)
    there = {url: file for url in urls if (raw / (file := file_of(url, params.size))).is_file()}
    _write_list(raw / DOWNLOADED, there)
    if owners is not None:
        _write_manifest(raw, manifest, owners, there)
    rows = [*failed, *(dead[url] for url in urls if url in dead and url not in there)]
    failures = pd.DataFrame(rows, columns=list(_FAILURES))
    report = {
        "urls": len(urls),
        "images": len(there),
        "fetched_now": fetched,
        "failed": len(rows),
        "failed_by_reason": dict(Counter(failures["reason"]).most_common()),
        "failed_by_host": dict(Counter(host_of(url) for url in failures["url"]).most_common(20)),
        "seconds": round(time.perf_counter() - began, 2),
    }
    return Downloaded(report, failures)


def file_of(url: str, size: int) -> str:
    """Return the file of a URL, relative to the raw folder."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]
    return f"images/downloaded/{size or 'original'}/{digest[:2]}/{digest}{'.jpg' if size else ''}"


def host_of(url: str) -> str:
    """Return the host of a URL; the empty text where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def pad_to_square(image: Image, size: int) -> Image:
    """Scale an RGB image so that its longer side is `size` pixels, and fill the rest of the square with white."""
    from PIL import Image as Pillow

    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Pillow.new("RGB", (size, size), "white")
    resized = image.resize((width, height), Pillow.Resampling.BICUBIC)
    square.paste(resized, ((size - width) // 2, (size - height) // 2))
    return square


def _fetch_all(
    raw: Path, urls: list[str], params: DownloadParams, journal: _Journal
) -> tuple[int, list[dict[str, Any]]]:
    """Fetch URLs, a bounded number under way; return how many succeeded and the failures."""
    fetched, failures = 0, []
    bar = progress(desc="downloading images", total=len(urls), unit="img")
    pool = ThreadPoolExecutor(params.concurrency, thread_name_prefix="download")
    with bar, Fetcher(params) as fetcher:
        try:
            turns = iter(_interleaved(urls))
            running: dict[Future[None], str] = {}
            while True:
                for url in islice(turns, 2 * params.concurrency - len(running)):
                    running[pool.submit(_fetch_one, fetcher, url, raw / file_of(url, params.size), params)] = url
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    url = running.pop(future)
                    bar.update(1)
                    try:
                        future.result()
                        fetched += 1
                    except FetchError as err:
                        failure = dict(zip(_FAILURES, (url, err.reason, err.detail, err.may_pass), strict=True))
                        failures.append(failure)
                        if not err.may_pass:
                            journal.append(failure)
        finally:
            pool.shutdown(cancel_futures=True)
    return fetched, failures


def _fetch_one(fetcher: Fetcher, url: str, file: Path, params: DownloadParams) -> None:
    """Fetch, check, scale and write one image.

    Raises:
        FetchError: It does not exist.
    """
    content = fetcher.fetch(url)
    try:
        content = decoded(content, params.max_pixels, lambda image: _kept(image, content, params.size))
    except PictureError as err:
        raise FetchError(err.reason, "the content is not a usable image") from err
    with atomic_file(file) as temporary:
        temporary.write_bytes(content)


def _kept(image: Image, content: bytes, size: int) -> bytes:
    """Return what is written of a fetched image: its own bytes, or those of its scaled copy."""
    if not size:
        return content
    buffer = io.BytesIO()
    pad_to_square(image, size).save(buffer, format="JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _interleaved(urls: list[str]) -> Iterator[str]:
    """Yield URLs host by host in turn, so that a slow host does not hold up the others."""
    by_host: dict[str, list[str]] = defaultdict(list)
    for url in urls:
        by_host[host_of(url)].append(url)
    return (url for url in chain.from_iterable(zip_longest(*by_host.values())) if url is not None)


def _mapped(raw: Path, data: DataParams) -> Iterator[str]:
    """Yield the URLs in the image columns of the user's own tables."""
    mapping = data.mapping
    assert mapping is not None
    items: list[ItemTableParams] = [mapping.queries, *([mapping.labels] if mapping.labels else [])]
    tables = [(params, name) for params in items if params.images for name in files_by_side(params).values()]
    for params, name in tables:
        table = read_table(raw / name, delimiter=params.delimiter, encoding=params.encoding, quoting=params.quoting)
        for column in params.images:
            for entries in table.entries(column, params.separators):
                yield from filter(is_url, entries)


def _listed(raw: Path) -> list[tuple[str, str]]:
    """Return (uid, url) of the list of URLs beside the benchmark's files; of a list cell every entry."""
    file = find_file(raw, _LISTS)
    if file is None:
        raise DataError("there is no list of image URLs", file=raw, expected=" or ".join(_LISTS) + ", columns id, url")
    if ".txt" in file.suffixes:
        return list(_tab_separated(file))
    table = read_table(file)
    cells = zip(table.ids("id"), table.entries("url", ""), strict=True)
    return [(uid, url) for uid, urls in cells for url in urls if is_url(url)]


def _tab_separated(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (uid, url) of MM-AmazonTitles-300K's list: a pair a line, without a header."""
    for _, line in read_lines(file):
        uid, _, url = as_text(line).strip().partition("\t")
        if is_url(url.strip()):
            yield uid, url.strip()


def _uids(raw: Path, side: Side) -> Iterator[str]:
    """Yield the uids of a side of the benchmark."""
    if layout_of(raw) == "sparse":
        yield from read_ids(raw, side)
    else:
        yield from (str(item.get("uid")) for _, item in read_json_lines(find_raw_file(raw, side)))


def _write_list(file: Path, there: dict[str, str]) -> None:
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("url", "file"))
        writer.writerows(there.items())


def _write_manifest(raw: Path, manifest: Path, owners: list[tuple[str, str]], there: dict[str, str]) -> None:
    """Write which item of which side shows which file; a uid may stand on several sides."""
    urls_of: dict[str, list[str]] = defaultdict(list)
    for uid, url in owners:
        if url in there:
            urls_of[uid].append(url)
    rows = [
        {"split": short, "uid": uid, "file": there[url], "url": url}
        for side, short in SHORT_NAMES.items()
        for uid in _uids(raw, side)
        for url in urls_of.get(uid, ())
    ]
    with atomic_file(manifest) as temporary:
        pd.DataFrame(rows, columns=["split", "uid", "file", "url"]).to_parquet(temporary, index=False)


def _check_replaceable(manifest: Path) -> None:
    if manifest.is_file() and "url" not in read_table(manifest, may_be_empty=True).columns:
        raise DataError(
            "the folder has an image manifest of yours; it is never replaced",
            file=manifest,
            remedy="move it away, or leave out `image_download`.",
        )


class _Journal:
    """Dead links, one JSON object a line, appended as they are found; a torn last line is ignored."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the failure of each dead URL."""
        lines = self._file.read_text(encoding="utf-8").split("\n")[:-1] if self._file.is_file() else []
        return {failure["url"]: failure for failure in map(_object, lines) if "url" in failure}

    def append(self, failure: dict[str, Any]) -> None:
        """Add one, also behind a line that was torn."""
        with writing(self._file), self._file.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write("\n" + json.dumps(failure, ensure_ascii=False) + "\n")


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
