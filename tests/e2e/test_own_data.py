"""A newcomer's messy CSV files: looked at, ingested, trained on and predicted with, in a fresh folder."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from vixml.commands import app

pytestmark = pytest.mark.e2e

FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
    "batching": {"batch_size": 32, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
    "training": {"epochs": 2, "checkpoint_every": 1, "validate_every": 2},
}
TINY = {
    "encoder_backbone": "tiny",
    "vision_backbone": "tiny",
    "vision": {"tiny_image_size": 32},
    "evaluation": {"ks": [1, 5], "top_k": 10},
    "encoder": FAMILY,
}
COLOURS = {"rot": (200, 0, 0), "grün": (0, 180, 0), "blau": (0, 0, 200), "gelb": (220, 220, 0)}
THINGS = ("Schuh", "Hut", "Tasche", "Jacke", "Ring")
CATEGORIES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]


def write(file: Path, header: list[str], rows: list[list[str]], **how: str) -> None:
    with file.open("w", encoding=how.pop("encoding", "utf-8"), newline="") as stream:
        csv.writer(stream, **how).writerows([header, *rows])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Three CSV files as three people would write them: ids with leading zeros, two encodings, two delimiters."""
    folder, draw = tmp_path / "Mein Laden", random.Random(0)
    (folder / "pics").mkdir(parents=True)
    products, pairs = [], []
    for number in range(120):
        uid, colour, thing = f"{number:05d}", draw.choice(list(COLOURS)), draw.choice(THINGS)
        names = [f"pics/{uid}.png"] if number % 5 else []
        for name in names:
            Image.new("RGB", (20, 16), COLOURS[colour]).save(folder / name)
        names += ["pics/gone.png"] if number % 7 == 0 else []
        title = f"Neu; {colour} {thing} für alle" if number % 11 else ""
        products.append([uid, title, ";".join(names), f"{number},99"])
        pairs.append([uid, f"{CATEGORIES.index(f'{colour} {thing}'):03d}"])
    pairs += [["99999", "001"], ["00001", "999"], [pairs[0][0], pairs[0][1]]]
    write(folder / "Produkte.csv", ["Product ID", "Item Title", "img_path", "Preis"], products, delimiter="\t")
    write(
        folder / "Kategorien.csv",
        ["Nr", "Categorie"],
        [[f"{number:03d}", name] for number, name in enumerate(CATEGORIES)],
        delimiter=";",
        encoding="cp1252",
    )
    write(folder / "zuordnung.csv", ["Product", "Cat"], pairs)
    return folder


def test_from_csv_files_to_predictions(kedro_run, project, shop):
    ended = CliRunner().invoke(app, ["init-data", str(shop), "--name", "laden"])
    assert ended.exit_code == 0, ended.output
    assert "pairs with unknown query" in ended.output

    stages = ("ingestion", "image_embedding", "encoder_text", "encoder_vision", "comparison")
    kedro_run(*stages, env="laden", params=TINY)
    report = json.loads((project / "data/08_reporting/laden/data_report.json").read_text(encoding="utf-8"))
    assert sum(report["sides"][side]["items"] for side in ("train", "validation", "test")) == 120
    assert report["repairs"]["pairs_with_unknown_query"] == report["repairs"]["pairs_with_unknown_label"] == 1
    assert report["repairs"]["image_files_missing"] == 1
    assert report["repairs"]["empty_texts_replaced"] == 11
    images = json.loads((project / "data/08_reporting/laden/image_report.json").read_text(encoding="utf-8"))
    assert images["images_unique"] == len(COLOURS)
    assert images["failed_by_reason"] == {"missing": 1}
    table = pd.read_csv(project / "data/08_reporting/laden/comparison_table.csv")
    assert {"encoder_text", "encoder_vision"} <= set(table.iloc[:, 0])

    new = shop / "neu.csv"
    write(new, ["Product ID", "Item Title", "img_path"], [["007", "rot Schuh", "pics/00001.png"], ["008", "Hut", ""]])
    prediction = {"queries": str(new), "model": "encoder_vision", "k": 3, "format": "csv"}
    kedro_run("prediction", env="laden", params={**TINY, "prediction": prediction})
    found = pd.read_csv(project / "data/07_model_output/laden/prediction/predictions.csv", dtype=str)
    assert found["query_id"].tolist() == ["007"] * 3 + ["008"] * 3
    assert found["rank"].tolist() == ["1", "2", "3"] * 2
    names = {f"{number:03d}": name for number, name in enumerate(CATEGORIES)}
    assert [names[uid] for uid in found["label_id"]] == found["label_text"].tolist()
