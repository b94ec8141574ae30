import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from vixml.params.comparison import ComparisonParams
from vixml.reporting.gallery import build_gallery
from vixml.reporting.selection import choose_runs


@pytest.fixture
def gallery(study):
    study.add("encoder_text", 0.2)
    study.add("encoder_vision", 0.9)
    chosen = choose_runs(study.archives, "latest", study.data.identity)

    def build(*, data=study.data, **params):
        return build_gallery(chosen, data, ComparisonParams(**params), root=study.folder / "raw", seed=3)

    return build


def test_queries_predictions_and_hits_are_the_runs(gallery, study):
    found = gallery(gallery_queries=80)
    assert [query["uid"] for query in found["queries"]] == study.data.items["uid"].tolist()
    texts = study.data.labels["text"].tolist()
    for row, query in enumerate(found["queries"]):
        true = set(study.data.relevance[row].indices)
        assert query["relevant"] == len(true)
        for run, top in zip(("encoder_text", "encoder_vision"), query["tops"], strict=True):
            predicted = study.archives[run][0].labels[row, :5]
            assert [found["labels"][label]["text"] for label, _ in top] == [texts[label] for label in predicted]
            assert [hit for _, hit in top] == [int(label in true) for label in predicted]


def test_pictures_are_small_stored_once_and_belong_to_their_items(gallery, study):
    found = gallery(gallery_queries=80, picture_pixels=64)
    assert len(found["pictures"]) == len(set(found["pictures"])) == 23
    assert found["omitted"] == 1, "the broken one"
    raw = study.folder / "raw"
    for row, query in enumerate(found["queries"]):
        for position, file in zip(query["pictures"], study.data.items["images"].iloc[row], strict=False):
            picture = Image.open(io.BytesIO(base64.b64decode(found["pictures"][position])))
            assert (picture.format, picture.size) == ("WEBP", (64, 48))
            expected = np.asarray(Image.open(raw / file).convert("RGB").resize((64, 48)), dtype=float)
            assert np.abs(np.asarray(picture, dtype=float) - expected).mean() < 25
    assert any(label["picture"] == -1 for label in found["labels"])
    assert any(label["picture"] >= 0 for label in found["labels"])


def test_the_sample_follows_the_parameter_and_the_seed(gallery):
    first, again = gallery(gallery_queries=10), gallery(gallery_queries=10)
    assert first == again
    assert len(first["queries"]) == 10
    assert gallery(gallery_queries=0)["queries"] == []
    assert len(gallery(gallery_queries=5000)["queries"]) == 80


def test_the_size_limit_holds_and_queries_come_first(gallery):
    full = gallery(gallery_queries=80)
    size = sum(map(len, full["pictures"]))
    some = gallery(gallery_queries=80, picture_megabytes=size / 2 / 1e6)
    assert 0 < sum(map(len, some["pictures"])) <= size / 2
    assert some["omitted"] == 24 - len(some["pictures"])
    assert some["pictures"] == full["pictures"][: len(some["pictures"])]
    assert gallery(gallery_queries=80, picture_megabytes=0)["pictures"] == []


def test_no_picture_is_read_from_outside_the_raw_folder(gallery, study):
    Image.new("RGB", (8, 8)).save(study.folder / "secret.png")
    items = study.data.items.assign(images=[["../secret.png"]] * 80)
    found = gallery(gallery_queries=80, data=dataclasses.replace(study.data, items=items))
    assert all(query["pictures"] == [] for query in found["queries"])
