"""The table of docs/explanation/freshness.md is true: after each row exactly the nodes that it names run."""

import gzip
import os
import re
import shutil

import pytest

from vixml.freshness import runner

pytestmark = pytest.mark.e2e

PIPELINES = ("ingestion", "image_embedding", "encoder_vision")


def rows(document):
    """Return {id: (what happened, nodes that run)} of the rows of the table."""
    section = document.read_text(encoding="utf-8").split("\n## ")[1]
    table = re.findall(r"^\| ([a-z-]+) \| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    return {name: (what, re.findall(r"`(\w+)`", nodes)) for name, what, nodes in table if name != "id"}


def set_parameter(what, params, **_):
    """Do what the row's `name=value` says."""
    name, value = re.search(r"`([\w.]+)=([\w.]+)`", what).groups()
    *path, last = name.split(".")
    for key in path:
        params = params.setdefault(key, {})
    params[last] = float(value) if "." in value else int(value)


def touch(raw, **_):
    os.utime(raw / "trn.json.gz", ns=(1, 1))


def change_title(raw, **_):
    text = gzip.decompress((raw / "trn.json.gz").read_bytes())
    changed = re.sub(rb'("title": ?")', rb"\1Hyperbolic ", text, count=1)
    assert changed != text
    (raw / "trn.json.gz").write_bytes(gzip.compress(changed))


def change_picture(raw, **_):
    pictures = sorted(raw.rglob("*.png"))
    one = pictures[0]
    other = next(picture for picture in pictures if picture.read_bytes() != one.read_bytes())
    shutil.copyfile(other, one)


def output(what, project):
    """The folder of the output that the row names."""
    name = re.search(r"`(\w+)`", what)[1]
    (folder,) = project.glob(f"data/0*/shop/encoder_vision/{name}")
    return folder


def delete_output(what, project, **_):
    shutil.rmtree(output(what, project))


def tear_output(what, project, **_):
    file = max((p for p in output(what, project).iterdir() if p.is_file()), key=lambda p: p.stat().st_size)
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.unlink()  # the file may have a second name, in the predictor's folder
    file.write_bytes(half)


CHANGES = {
    "nothing": lambda **_: None,
    "speed": set_parameter,
    "optimiser": set_parameter,
    "evaluation": set_parameter,
    "raw-touched": touch,
    "title": change_title,
    "picture": change_picture,
    "output-deleted": delete_output,
    "output-torn": tear_output,
}


def test_exactly_the_stale_nodes_run(kedro_run, project, repository, tiny, monkeypatch):
    ran = []

    class Recorded(runner.Task):
        def execute(self):
            ran.append(self.node.name.rpartition(".")[2])
            return super().execute()

    monkeypatch.setattr(runner, "Task", Recorded)
    kedro_run("fabrication", params=tiny)
    raw = project / "shop"
    shutil.move(project / "data/01_raw/demo", raw)
    (raw / "manifest.json").unlink()
    params = {**tiny, "data_root": str(raw), "encoder_backbone": "tiny", "vision_backbone": "tiny"}
    ran.clear()
    kedro_run(*PIPELINES, params=params, only_missing_outputs=True)
    everything = list(ran)
    assert {"ingest_raw", "embed_images", "train_hard", "evaluate"} <= set(everything)

    expected = rows(repository / "docs" / "explanation" / "freshness.md")
    assert list(expected) == list(CHANGES)
    found = {}
    for name, (what, _) in expected.items():
        CHANGES[name](what=what, params=params, raw=raw, project=project)
        ran.clear()
        kedro_run(*PIPELINES, params=params, only_missing_outputs=True)
        found[name] = sorted(ran)
    assert found == {name: sorted(nodes) for name, (_, nodes) in expected.items()}
