"""Benchmarks in the folder that `vixml init-data` is given: read as what they are, or named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from PIL import Image
from tests.ingestion.benchmark.test_layouts import write_texts
from typer.testing import CliRunner

from vixml.commands import app
from vixml.core.errors import DataError
from vixml.ingestion.benchmark.recognise import awaits_images, describe_benchmark, is_benchmark
from vixml.ingestion.ingest import ingest
from vixml.ingestion.tables.infer import propose
from vixml.params.data.ingestion import DataParams

POINTS = [
    {"uid": f"p{i}", "title": f"title {i}", "content": f"content {i}", "target_ind": [i % 3], "target_rel": [1.0]}
    for i in range(12)
]
TESTS = [{**point, "uid": f"t{i}"} for i, point in enumerate(POINTS[:4])]
LABELS = [{"uid": f"l{i}", "title": f"label {i}", "content": ""} for i in range(3)]


def write(file: Path, rows: list[dict]) -> None:
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """A benchmark with images, filters and groups, as `data_root` takes it."""
    folder = tmp_path / "published"
    (folder / "images").mkdir(parents=True)
    for name, rows in (("trn", POINTS), ("tst", TESTS), ("lbl", LABELS)):
        write(folder / f"{name}.json.gz", rows)
    (folder / "filter_labels_train.txt").write_text("0 1\n")
    (folder / "images.csv").write_text("split,uid,file\ntrn,p0,images/a.png\nlbl,l1,images/a.png\n")
    (folder / "groups.csv").write_text("uid,split,group\np0,trn,1\np1,trn,1\n")
    Image.new("RGB", (4, 4)).save(folder / "images" / "a.png")
    (folder / "stats.json").write_text('{"rows": 12}')
    return folder


def call(*arguments: object):
    ended = CliRunner().invoke(app, ["init-data", *map(str, arguments)])
    return ended.exit_code, " ".join(ended.output.split())


def test_a_benchmark_is_read_as_one_with_the_ledger_of_its_files(project, benchmark):
    code, said = call(benchmark, "--name", "bench")
    assert code == 0, said
    for part in (
        "a published",
        "trn.json.gz 12 lines held, 12 taken",
        "lbl.json.gz 3 lines held, 3 taken",
        "images.csv 2 rows held, 2 taken",
        "1 pairs held, 1 taken",
        "groups.csv 2 rows held, 2 taken",
        "stats.json NOT USED",
        "kedro run --env=bench --pipeline=study",
    ):
        assert part in said
    assert "columns not used" not in said
    written = yaml.safe_load((project / "conf/bench/parameters.yml").read_text())
    assert "data" not in written  # no mapping
    assert written["prediction"] == {"id_column": "uid", "text_columns": ["title", "content"]}
    assert yaml.safe_load((project / "conf/bench/globals.yml").read_text())["data_root"] == benchmark.as_posix()


def test_the_environment_reads_what_data_root_reads(project, benchmark, kedro_run):
    import pandas as pd

    assert call(benchmark, "--name", "bench")[0] == 0
    kedro_run("ingestion", env="bench")
    kedro_run("ingestion", params={"data_root": str(benchmark), "dataset": "rooted"})
    folders = [project / "data/03_primary" / name / "dataset" for name in ("bench", "rooted")]
    for side in ("train", "validation", "test", "label"):
        one, other = (pd.read_parquet(folder / f"items_{side}.parquet") for folder in folders)
        pd.testing.assert_frame_equal(one, other)
    assert one["text"].tolist() == ["label 0", "label 1", "label 2"]


def test_losses_and_corrections_go_into_the_environment(project, benchmark):
    with (benchmark / "images.csv").open("a") as stream:
        stream.write("trn,nobody,images/a.png\n")
    code, said = call(benchmark, "--name", "bench")
    assert code == 1
    assert "images.csv: 1 of 3 rows (1 of an unknown item)" in said
    assert call(benchmark, "--name", "bench", "--max-lost", 0.5)[0] == 0
    written = yaml.safe_load((project / "conf/bench/parameters.yml").read_text())
    assert written["data"] == {"max_lost": 0.5}


@pytest.mark.parametrize("layout", [{}, {"folder": "raw_data", "long": True, "ids": True}])
def test_text_lines_and_matrices(project, tmp_path, layout):
    raw = write_texts(tmp_path / "texts", **layout)
    code, said = call(raw, "--name", "bench", "--max-lost", 1)
    assert code == 0, said
    assert "label items 4" in said
    rows = {what: file for what, file, _ in describe_benchmark(raw)}
    assert rows["layout"] == "a published benchmark, text lines and matrices"
    assert rows["pairs"] == "trn_X_Y.txt, tst_X_Y.txt"
    assert "prediction" not in yaml.safe_load((project / "conf/bench/parameters.yml").read_text())


@pytest.mark.parametrize("name", ["tst.json.gz", "lbl.json.gz"])
def test_a_part_that_is_missing_is_named(benchmark, name):
    (benchmark / name).unlink()
    with pytest.raises(DataError, match=rf"a raw file is missing.*{name}"):
        is_benchmark(benchmark)


@pytest.mark.parametrize("name", ["lbl.raw.txt", "trn.raw.txt", "trn_X_Y.txt"])
def test_a_part_of_text_lines_that_is_missing_is_named(project, tmp_path, name):
    raw = write_texts(tmp_path / "texts")
    (raw / name).unlink()
    code, said = call(raw, "--dry-run")
    assert code == 1
    assert f"a raw file is missing. Expected: {name}" in said


def test_a_folder_of_benchmarks_says_which_to_name(benchmark):
    with pytest.raises(DataError, match=r"in folders of this folder.*published.*vixml init-data .*published"):
        is_benchmark(benchmark.parent)


def test_line_numbers_never_become_names_of_labels(tmp_path):
    write(tmp_path / "train.jsonl", POINTS)
    write(tmp_path / "label.jsonl", LABELS)
    assert not is_benchmark(tmp_path)
    with pytest.raises(DataError, match=r"`target_ind` holds lines of a label file.*--query-labels target_ind"):
        propose(tmp_path)
    assert propose(tmp_path, {"query_labels": "target_ind"}).queries.labels == "target_ind"


def test_own_tables_of_the_same_names_are_tables(tmp_path):
    rows = [{"id": f"q{i}", "title": f"a text of {i}", "labels": [f"l{i % 3}"]} for i in range(30)]
    write(tmp_path / "train.json", rows[:20])
    write(tmp_path / "test.json", rows[20:])
    write(tmp_path / "label.json", [{"id": f"l{i}", "name": f"label {i}"} for i in range(3)])
    assert not is_benchmark(tmp_path)
    found = ingest(tmp_path, DataParams(mapping=propose(tmp_path), text_fields="auto"), 0)
    assert (len(found.items_train), len(found.items_test)) == (20, 10)
    assert sorted(found.items_label["text"]) == ["label 0", "label 1", "label 2"]


def test_a_json_list_prose_and_nothing_are_no_benchmark(tmp_path):
    assert not is_benchmark(tmp_path / "missing")
    assert not is_benchmark(tmp_path)
    (tmp_path / "train.json").write_text(json.dumps(POINTS))
    (tmp_path / "test.json").write_text("see the wiki")
    assert not is_benchmark(tmp_path)


def test_an_option_that_names_columns_makes_tables_of_it(project, benchmark):
    code, said = call(benchmark, "--dry-run", "--queries", "trn.json.gz", "--query-labels", "target_ind")
    assert code == 0, said
    assert "published benchmark" not in said
    assert "tst.json.gz" in said


def test_embeddings_and_addresses_of_images_are_named(benchmark):
    assert not awaits_images(benchmark)
    (benchmark / "images.csv").unlink()
    (benchmark / "img_urls.csv").write_text("id,url\np0,http://x.example/a.png\n")
    (benchmark / "siglip").mkdir()
    (benchmark / "siglip" / "trn_embs_imgs.npy").write_bytes(b"")
    assert awaits_images(benchmark)
    rows = {what: (file, option) for what, file, option in describe_benchmark(benchmark)}
    assert rows["images"][0] == "(none)"
    assert rows["addresses of images"][0] == "img_urls.csv"
    assert rows["image embeddings"][0] == "NOT USED, in siglip"
    assert "data.image_embeddings" in rows["image embeddings"][1]


def test_matrices_without_texts_are_no_tables(tmp_path):
    raw = write_texts(tmp_path / "texts")
    for file in raw.glob("*.raw.txt"):
        file.unlink()
    with pytest.raises(DataError, match=r"a raw file is missing.*trn\.raw\.txt"):
        is_benchmark(raw)
