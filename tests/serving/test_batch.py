"""Predictions for files: every output, filters, memory by blocks, and a kill in the middle that a rerun completes."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from tests.distributed.threads import in_threads
from tests.processes import run_command

from vixml.core.directories import WorkDirectory
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.data.items import MOST_CHARACTERS
from vixml.distributed.launch import Machines
from vixml.params.prediction import PredictionParams
from vixml.serving import batch
from vixml.serving.batch import open_predictor, predict_file

COLUMNS = ["query_id", "rank", "label_id", "label_text", "score", "probability"]


@pytest.fixture
def queries(root):
    """Ten queries with string ids; images beside the file, some missing, broken or outside."""
    file = root / "queries.csv"
    (root / "broken.png").write_bytes(b"not a picture")
    frame = pd.DataFrame(
        {
            "id": [f"00{n}" for n in range(10)],
            "text": ["red vase", "blue shoe", "", "black, clock", 'a "green" mug', *["white sofa"] * 5],
            "images": ["images/L1.png", "", "images/L2.png|images/L3.png", "broken.png", "../L1.png", *[""] * 5],
        }
    )
    frame.to_csv(file, index=False)
    return file


def run(predictor, file, tmp_path, **params):
    built, report = predict_file(
        predictor, PredictionParams(queries=str(file), **params), WorkDirectory(tmp_path / "work")
    )
    return built, report


def table(built, form="parquet"):
    file = built.path / f"predictions.{form}"
    if form == "csv":
        return pd.read_csv(file, dtype={"query_id": str, "label_id": str})
    return pd.read_parquet(file) if form == "parquet" else pd.read_json(file, lines=True, dtype={"query_id": str})


@pytest.mark.parametrize("block_size", [3, 2048])
def test_the_same_as_the_predictor(predictor, queries, root, tmp_path, caplog, block_size):
    built, report = run(predictor, queries, tmp_path, k=4, block_size=block_size)
    found = table(built)
    assert list(found.columns) == COLUMNS
    given = pd.read_csv(queries, dtype=str, keep_default_na=False)
    images = [None] * 10
    images[0], images[2] = root / "images/L1.png", [root / "images/L2.png", root / "images/L3.png"]
    expected = predictor.predict(given["text"].tolist(), images=images, k=4)
    assert found["query_id"].tolist() == [id_ for id_ in given["id"] for _ in range(4)]
    assert found["rank"].tolist() == [1, 2, 3, 4] * 10
    assert found["label_id"].tolist() == [uid for prediction in expected for uid in prediction.label_ids]
    assert found["label_text"].tolist() == [text for prediction in expected for text in prediction.texts]
    np.testing.assert_allclose(found["score"], [s for prediction in expected for s in prediction.scores], atol=1e-5)
    assert (report["queries"], report["predictions"], report["queries_of_this_run"]) == (10, 40, 10)
    assert report["unreadable_images"] == {"no image": 1, "outside root": 1}
    assert f"count as absent: 1 no image, 1 outside root. They were looked for in {queries.parent}." in caplog.text


@pytest.mark.parametrize("name", ["images/L1.png", "new.png"])
def test_images_that_the_folder_lacks_are_looked_for_beside_the_file(predictor, queries, root, tmp_path, name):
    """As for a shop whose tables name pictures in a folder of their own, asked about products with new pictures."""
    elsewhere, beside = tmp_path / "photos", queries.parent / "photos"
    for folder, file_name in ((elsewhere, "other.png"), (beside, "new.png")):
        folder.mkdir(exist_ok=True)
        shutil.copy(root / "images/L1.png", folder / file_name)
    file = queries.parent / "two.csv"
    frame = pd.DataFrame({"id": ["new", "old"], "text": ["vase"] * 2, "images": [name, "other.png"]})
    frame.to_csv(file, index=False)
    _, report = run(predictor, file, tmp_path, images_root=str(elsewhere))
    assert report["unreadable_images"] == {}


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_every_output_says_the_same(predictor, queries, tmp_path, form):
    expected = table(run(predictor, queries, tmp_path / "a", k=3)[0])
    found = table(run(predictor, queries, tmp_path / "b", k=3, format=form, block_size=4)[0], form)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, atol=1e-5)


def test_texts_are_cut_and_repaired_as_ingestion_does(predictor, tmp_path, caplog):
    file = tmp_path / "q.jsonl"
    rows = ['{"id": "a", "text": "red ' + "x" * 10_000_000 + '"}', '{"id": "b\\ud800", "text": "red \\udfff vase"}']
    file.write_text("\n".join(rows), encoding="utf-8")
    built, report = run(predictor, file, tmp_path, k=1)
    assert report["repairs"]["long_texts_cut"] == 1
    assert "were repaired" in caplog.text
    found = table(built)
    assert found["query_id"].tolist() == ["a", "b\\ud800"]
    expected = predictor.predict(["red " + "x" * (MOST_CHARACTERS - 4), "red ? vase"], k=1)
    np.testing.assert_allclose(found["score"], [one.scores[0] for one in expected], atol=1e-6)
    with pytest.raises(DataError, match="not a text"):
        predictor.predict(["a", None])


def test_no_cell_of_a_csv_file_is_a_formula(predictor, tmp_path):
    file = tmp_path / "q.csv"
    file.write_text("id,text\n=cmd|' /C calc'!A0,vase\n-5,shoe\n", encoding="utf-8")
    for escaped in (True, False):
        built, _ = run(predictor, file, tmp_path / str(escaped), k=1, format="csv", escape_formulas=escaped)
        found = table(built, "csv")["query_id"].tolist()
        assert found == [("'" if escaped else "") + "=cmd|' /C calc'!A0", "-5"]
    built, _ = run(predictor, file, tmp_path / "parquet", k=1)
    assert table(built)["query_id"].tolist() == ["=cmd|' /C calc'!A0", "-5"]


def test_repeated_ids_are_counted(predictor, tmp_path, caplog):
    file = tmp_path / "q.csv"
    file.write_text("id,text\na,vase\nb,shoe\na,mug\nc,sofa\na,coat\n", encoding="utf-8")
    built, report = run(predictor, file, tmp_path, k=2, block_size=2)
    assert report["repeated_ids"] == 2
    assert "2 queries have the id of an earlier one" in caplog.text
    assert table(built)["query_id"].tolist() == [uid for uid in "abaca" for _ in range(2)]


def test_no_query_and_no_file(predictor, tmp_path):
    (tmp_path / "q.csv").write_text("id,text\n", encoding="utf-8")
    with pytest.raises(DataError, match="no query"):
        run(predictor, tmp_path / "q.csv", tmp_path)
    with pytest.raises(DataError, match=r"nothing.csv: the file is missing"):
        run(predictor, tmp_path / "nothing.csv", tmp_path)


def test_filters(predictor, queries, tmp_path):
    plain = table(run(predictor, queries, tmp_path, k=48)[0])
    first = plain[plain["query_id"] == "000"]["label_id"].tolist()
    second = plain[plain["query_id"] == "001"]["label_id"].tolist()
    pairs = pd.DataFrame({"query_id": ["000", "000", "x"], "label_id": [first[0], "no label", first[1]]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    (tmp_path / "deny.txt").write_text(f"{first[1]}\n\n", encoding="utf-8")
    pd.DataFrame({"label_id": [*first[:5], second[7]]}).to_parquet(tmp_path / "allow.parquet")

    def best(**params):
        files = {name: str(tmp_path / file) for name, file in params.items()}
        found = table(run(predictor, queries, tmp_path, k=48, block_size=4, **files)[0])
        return {name: group["label_id"].tolist() for name, group in found.groupby("query_id")}

    excluded = best(exclude="pairs.csv")
    assert (excluded["000"], excluded["001"]) == (first[1:], second)
    assert best(deny="deny.txt")["000"] == [first[0], *first[2:]]
    allowed = best(allow="allow.parquet", deny="deny.txt", exclude="pairs.csv")
    assert allowed["000"] == [uid for uid in first if uid in {*first[2:5], second[7]}]


def test_queries_with_fewer_answers_than_asked_for_and_the_ledger(predictor, queries, tmp_path, caplog):
    plain = table(run(predictor, queries, tmp_path, k=48)[0])
    labels = plain["label_id"].unique()[:3].tolist()
    (tmp_path / "allow.txt").write_bytes("\r\n".join([*labels, "Größe"]).encode("cp1252"))
    _, report = run(predictor, queries, tmp_path, k=5, block_size=4, allow=str(tmp_path / "allow.txt"))
    assert report["queries_with_fewer_than_k"] == report["queries"]
    assert f"{report['queries']} of {report['queries']} queries got fewer than 5 labels" in caplog.text
    files = {entry["file"]: entry for entry in report["ledger"]["files"]}
    assert files[queries.name]["taken"] == report["queries"]
    assert files["allow.txt"]["left_out"] == {"not among the model's labels": 1}
    _, report = run(predictor, queries, tmp_path, k=3)
    assert report["queries_with_fewer_than_k"] == 0


def killed_after(models, file, tmp_path, blocks):
    """Predict in a process that dies at once when `blocks` blocks are on disk."""
    code = f"""
import os
from vixml import Predictor
from vixml.core.directories import WorkDirectory
from vixml.params.prediction import PredictionParams
from vixml.serving import batch
written, write = 0, batch._write_part
def dying(file, table):
    global written
    if written == {blocks}:
        os._exit(9)
    write(file, table)
    written += 1
batch._write_part = dying
predictor = Predictor.open({str(models / "encoder_text")!r})
batch.predict_file(predictor, PredictionParams(queries={str(file)!r}, k=3, block_size=10),
                   WorkDirectory(__import__("pathlib").Path({str(tmp_path / "work")!r})))
"""
    return run_command("python", "-c", code, folder=tmp_path).returncode


def test_killed_and_run_again(models, tmp_path):
    """No row twice, none missing, the finished blocks are not predicted again; other settings begin anew."""
    from vixml import Predictor

    file = tmp_path / "many.csv"
    texts = [f"{colour} {thing}" for colour in ("red", "blue", "black") for thing in ("vase", "lamp", "mug", "sofa")]
    pd.DataFrame({"id": [f"{n:04d}" for n in range(95)], "text": [texts[n % 12] for n in range(95)]}).to_csv(file)
    assert killed_after(models, file, tmp_path, 4) == 9
    predictor = Predictor.open(models / "encoder_text")
    built, report = run(predictor, file, tmp_path, k=3, block_size=10)
    assert (report["queries"], report["queries_of_this_run"]) == (95, 55)
    found = table(built)
    assert found["query_id"].tolist() == [f"{n:04d}" for n in range(95) for _ in range(3)]
    whole = table(run(predictor, file, tmp_path / "whole", k=3, block_size=95)[0])
    pd.testing.assert_frame_equal(found, whole, atol=1e-5)
    assert killed_after(models, file, tmp_path, 4) == 9
    assert run(predictor, file, tmp_path, k=2, block_size=10)[1]["queries_of_this_run"] == 95


def test_the_model_is_named(predictor):
    published = {"encoder_text": None, "encoder_vision": predictor.bundle.sealed}
    params = PredictionParams(queries="q.csv")
    assert open_predictor(params, published).bundle.settings.variant == "encoder_vision"
    folder = str(predictor.bundle.folder.parent)
    assert open_predictor(params.model_copy(update={"model": folder}), {}).num_labels == 48
    with pytest.raises(StateError, match="kedro run --pipelines=encoder_text"):
        open_predictor(params.model_copy(update={"model": "encoder_text"}), published)
    with pytest.raises(ConfigError, match="names no model"):
        open_predictor(params.model_copy(update={"model": "encoder"}), published)
    with pytest.raises(ConfigError, match=r"prediction.queries=FILE"):
        open_predictor(PredictionParams(), published)


def test_ranks_predict_a_share_of_the_blocks_each(predictor, queries, tmp_path, monkeypatch):
    """And one process joins them: the same file, the same report."""
    expected, alone = run(predictor, queries, tmp_path / "alone", k=3, block_size=3)

    def in_ranks(function, given, *, folder, machines):
        assert (function, machines) == ("vixml.serving.batch:predict_share", Machines(2))
        return in_threads(monkeypatch, 2, lambda: batch.predict_share(**given))[0]

    monkeypatch.setattr(batch, "run_in_ranks", in_ranks)
    monkeypatch.setattr(batch, "open_predictor", lambda *_: predictor)
    params = PredictionParams(queries=str(queries), k=3, block_size=3, device="cpu", processes=2)
    built, report = batch.predict_together(params, {}, WorkDirectory(tmp_path / "work"))
    pd.testing.assert_frame_equal(table(built), table(expected))
    assert report["queries_of_this_run"] == 10
    times = {"seconds", "queries_per_second"}
    assert {**report, **dict.fromkeys(times)} == {**alone, **dict.fromkeys(times)}
