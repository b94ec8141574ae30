"""The table of docs/freshness.md is the truth: each row is done, and exactly the nodes that it names have to run."""

import gzip
import os
import re
import shutil

import pytest

from vixml.freshness import runner

pytestmark = pytest.mark.e2e

PIPELINES = ("ingestion", "image_embedding", "encoder_vision")


def rows(document):
    """Return (what happened, nodes that run) of each row of the table."""
    section = document.read_text(encoding="utf-8").split("\n## ")[1]
    table = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    return [(what, re.findall(r"`(\w+)`", nodes)) for what, nodes in table if what != "what happened since"]


def set_parameter(what, params):
    """Do what a row with `name=value` says."""
    name, value = re.search(r"`([\w.]+)=([\w.]+)`", what).groups()
    *path, last = name.split(".")
    for key in path:
        params = params.setdefault(key, {})
    params[last] = float(value) if "." in value else int(value)


def change_raw(raw, what):
    """Touch or change a raw file."""
    if "touched" in what:
        os.utime(raw / "trn.json.gz", ns=(1, 1))
    elif "title" in what:
        text = gzip.decompress((raw / "trn.json.gz").read_bytes())
        changed = re.sub(rb'("title": ?")', rb"\1Hyperbolic ", text, count=1)
        assert changed != text
        (raw / "trn.json.gz").write_bytes(gzip.compress(changed))
    else:
        pictures = sorted(raw.rglob("*.png"))
        one = pictures[0]
        other = next(picture for picture in pictures if picture.read_bytes() != one.read_bytes())
        shutil.copyfile(other, one)


def break_output(project, what):
    """Delete an output, or cut a file of it short."""
    name = re.search(r"`(\w+)`", what)[1]
    (folder,) = project.glob(f"data/0*/shop/encoder_vision/{name}")
    if "deleted" in what:
        shutil.rmtree(folder)
    else:
        file = max((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.stat().st_size)
        half = file.read_bytes()[: file.stat().st_size // 2]
        file.unlink()  # the file may have a second name, in the predictor's folder
        file.write_bytes(half)


def test_exactly_the_stale_nodes_run(kedro_run, project, repository, tiny, monkeypatch):
    ran = []

    class Recorded(runner.Task):
        def execute(self):
            ran.append(self.node.name.removeprefix("encoder_vision."))
            return super().execute()

    monkeypatch.setattr(runner, "Task", Recorded)
    kedro_run("fabrication", params=tiny)
    raw = project / "shop"
    shutil.move(project / "data/01_raw/demo", raw)
    (raw / "manifest.json").unlink()
    params = {**tiny, "data_root": str(raw)}
    ran.clear()
    kedro_run(*PIPELINES, params=params, only_missing_outputs=True)
    everything = list(ran)
    assert {"ingest_raw", "embed_images", "train_hard", "evaluate"} <= set(everything)

    found, expected = [], rows(repository / "docs" / "freshness.md")
    for what, _ in expected:
        if "=" in what:
            set_parameter(what, params)
        elif "raw file" in what or "picture" in what:
            change_raw(raw, what)
        elif "output" in what:
            break_output(project, what)
        else:
            assert what == "nothing"
        ran.clear()
        kedro_run(*PIPELINES, params=params, only_missing_outputs=True)
        found.append((what, list(ran)))
    assert len(found) == 9
    for (what, nodes), (_, named) in zip(found, expected, strict=True):
        assert sorted(nodes) == sorted(named), what
