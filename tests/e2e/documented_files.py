"""The files that README and docs speak of: tables, pictures, official data, new queries and labels."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.documented import FIRST


def serve_pictures(raw: Path) -> ThreadingHTTPServer:
    """A web server on this machine with the pictures of a raw folder, for `image_download`."""
    folder = next(raw.rglob("*.png")).parent
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def write_tables(folder: Path, pictures: list[str]) -> None:
    """Tables of a user's own: products with addresses of pictures, categories, links, and new queries."""
    folder.mkdir(parents=True)
    names = [f"{colour} {thing}" for colour in ("red", "green", "blue") for thing in ("shoe", "hat", "ring", "bag")]
    photos = [*pictures, *[""] * 90]
    rows = [[f"{i:05d}", f"new {names[i % len(names)]}", "with a bow", photos[i]] for i in range(90)]
    write_csv(folder / "products.csv", [["Product ID", "Title", "Description", "photo"], *rows])
    write_csv(folder / "categories.csv", [["nr", "Name"], *[[f"c{i}", name] for i, name in enumerate(names)]])
    links = [[row[0], f"c{i % len(names)}"] for i, row in enumerate(rows)]
    write_csv(folder / "links.csv", [["product", "category"], *links])
    new = folder.parent / "new"
    new.mkdir()
    write_csv(new / "new.csv", [["Product ID", "Title", "Description"], ["n1", "red shoe", ""], ["n2", "hat", "blue"]])


def write_addresses(raw: Path, folder: Path, pictures: list[str]) -> None:
    """A copy of a raw folder's texts beside a list of addresses: for every second item all of the pictures."""
    folder.mkdir()
    lines = []
    for side in ("trn", "tst", "lbl"):
        file = next(raw.glob(f"{side}.json*"))
        shutil.copy(file, folder)
        lines += [f"{uid}\t{picture}" for uid in uids_of(file)[::2] for picture in pictures]
    (folder / "img.urls.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def uids_of(file: Path) -> list[str]:
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        return [json.loads(line)["uid"] for line in lines]


def write_embeddings(raw: Path, folder: str) -> None:
    """Pre-computed image embeddings beside a raw folder's texts, in the authors' form: one image an item."""
    import numpy as np

    (raw / folder).mkdir(exist_ok=True)
    for side, name in (("trn", "train"), ("tst", "test"), ("lbl", "labels")):
        file = next(raw.glob(f"{side}.json*"))
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            count = sum(1 for _ in lines)
        rows = np.empty(count, dtype=object)
        rows[:] = [[row] for row in range(count)]
        np.save(raw / folder / f"{name}_imgs_384_3_map.npy", rows, allow_pickle=True)
        vectors = np.random.default_rng(count).standard_normal((count, 1152), dtype=np.float32)
        np.save(raw / folder / f"{side}_embs_imgs_3_1152_siglip2.npy", vectors)


def write_queries_and_labels(project: Path, raw: Path) -> None:
    """New queries and pictures, and changes to the demo's labels, under the names that the documentation uses."""
    for name in ("jacket.png", "vase.png"):
        shutil.copy(next(raw.rglob("*.png")), project / name)
    ids = uids_of(next(raw.glob("lbl.json*")))
    (shown,) = re.findall(r"```\n(id,text,images\n.*?)```", FIRST.read_text(encoding="utf-8"), flags=re.DOTALL)
    (project / "my-queries.csv").write_text(shown, encoding="utf-8")
    write_csv(project / "new.csv", [["id", "text"], ["1", "red vase"], ["2", "desk lamp"]])
    write_csv(project / "new_labels.csv", [["id", "text"], ["new-1", "striped vase"], ["new-2", "tall lamp"]])
    write_csv(project / "better_titles.csv", [["id", "text"], [ids[0], "a better title"]])
    write_csv(project / "sold_out.csv", [["id"], [ids[1]]])


def write_csv(file: Path, rows: list[list[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
