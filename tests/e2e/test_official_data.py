"""The authors' files from end to end: pre-computed image embeddings to a trained and evaluated vision variant."""

from __future__ import annotations

import json

import pytest
from tests.e2e.commands import FAMILY
from tests.images.test_precomputed import WIDTH, write_official

pytestmark = pytest.mark.e2e


def test_embeddings_to_a_trained_variant(kedro_run, project, tmp_path):
    sizes = {"trn": 60, "tst": 20, "lbl": 20}
    maps = {side: [-1 if item % 5 == 4 else [item] for item in range(size)] for side, size in sizes.items()}
    write_official(tmp_path / "official", maps, sizes)
    kedro_run(
        *("ingestion", "image_embedding", "encoder_vision"),
        params={
            "data_root": str(tmp_path / "official"),
            "data": {"image_embeddings": "."},
            "vision": {"model": "ViT-SO400M-14-SigLIP2-378", "pretrained": "webli"},
            "evaluation": {"ks": [1, 5], "top_k": 10},
            "encoder_backbone": "tiny",
            "encoder": FAMILY,
        },
    )
    folder = project / "data" / "08_reporting" / "official"
    images = json.loads((folder / "image_report.json").read_text(encoding="utf-8"))
    assert images["dim"] == WIDTH
    assert images["images_unique"] == 80
    assert images["items_without_image"]["label"] == 4
    sides = json.loads((folder / "data_report.json").read_text(encoding="utf-8"))["sides"]
    assert sides["train"]["with_image"] + sides["validation"]["with_image"] == 48
    assert list((project / "data").glob("*/official/encoder_vision/*"))
