"""A newer model takes the place of an older one while it answers; a broken one does not."""

from __future__ import annotations

import shutil
import threading
import weakref

import numpy as np
import pytest
from starlette.testclient import TestClient

from vixml import Predictor
from vixml.core.directories import MANIFEST, Built, open_sealed, publish
from vixml.core.errors import ConfigError, StateError
from vixml.serving.web import app as web
from vixml.serving.web import models as module
from vixml.serving.web.models import Models, Watch, check


def open_one(folder):
    return Predictor.open(folder, device="cpu")


@pytest.fixture
def folder(models, tmp_path):
    """A predictor of its own, to be replaced."""
    return shutil.copytree(models / "encoder_text" / "predictor", tmp_path / "served")


def renew(folder, number=1):
    """Put a newer predictor in the folder, as a training does."""
    copy = shutil.copytree(folder, folder.parent / f"newer {number}")
    return publish(Built(copy, "predictor", {**open_sealed(folder).meta, "number": number}), folder)


@pytest.fixture
def served(folder):
    return Models({"m": open_one(folder)}, reopen=open_one)


def test_nothing_new_changes_nothing(served):
    before = served.get("m")
    served.look()
    assert served.get(None) is before
    assert served.get("other") is None
    assert not served.outcomes


def test_a_newer_model_takes_the_place_of_the_older(served, folder):
    before = served.get("m")
    newer = renew(folder)
    served.look()
    after = served.get("m")
    assert after.fingerprint == newer.fingerprint != before.fingerprint
    assert after.since > before.since
    assert dict(served.outcomes) == {("m", "swapped"): 1}
    assert served.notice("m", after) is None
    # who has the older one goes on with it
    assert len(before.predictor.predict("red vase", k=3)[0]) == 3


def test_memory_of_the_older_model_is_given_back(served, folder, monkeypatch):
    """At the look after the swap, when its last answers are given; then not again."""
    released = []
    monkeypatch.setattr(module, "release_memory", lambda: released.append(older() is None))
    older = weakref.ref(served.get("m").predictor)
    renew(folder)
    served.look()
    assert not released
    for _ in range(3):
        served.look()
    assert released == [True]


def test_a_link_to_another_folder_is_a_newer_model(models, tmp_path):
    """As a production folder is switched: one rename."""
    for name in ("one", "two"):
        shutil.copytree(models / "encoder_text" / "predictor", tmp_path / name)
    newer = renew(tmp_path / "two")
    link, following = tmp_path / "current", tmp_path / "following"
    link.symlink_to("one")
    served = Models({"m": open_one(link)}, reopen=open_one)
    following.symlink_to("two")
    following.replace(link)
    served.look()
    assert served.get("m").fingerprint == newer.fingerprint


def test_a_broken_model_changes_nothing_and_is_named(served, folder, caplog):
    before, whole = served.get("m"), (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text("{}")
    served.look()
    assert served.get("m") is before
    assert "older one goes on answering" in served.notice("m", before)
    assert "older one goes on answering" in caplog.text
    served.look()  # not tried again at once
    assert dict(served.outcomes) == {("m", "refused"): 1}
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_bytes(whole)
    served.look()
    assert served.problems == {}
    renew(folder)
    served.look()
    assert served.outcomes["m", "swapped"] == 1


def test_a_broken_model_is_tried_again_after_longer_and_longer_times(served, folder, monkeypatch):
    now, tries = [0.0], []

    def fail(folder):
        tries.append(now[0])
        raise MemoryError("none left")

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    broken = Models({"m": served.get("m").predictor}, reopen=fail)
    renew(folder)
    for second in range(200):
        now[0] = float(second)
        broken.look()
    assert np.diff(tries).tolist()[:5] == [2, 4, 8, 16, 32]
    assert set(np.diff(tries).tolist()[5:]) == {60}
    assert dict(broken.outcomes) == {("m", "refused"): 1}, "the same problem is said once"


def test_only_a_model_that_answers_takes_the_place(served, folder, monkeypatch):
    before = served.get("m")
    renew(folder)
    monkeypatch.setattr(Predictor, "predict", lambda *args, **options: before.predictor.named(*no_labels()))
    served.look()
    assert served.get("m") is before
    assert "does not answer" in served.problems["m"]


def no_labels():
    return np.full((1, 1), -np.inf, dtype=np.float32), np.full((1, 1), -1)


def test_a_model_with_images_is_asked_with_one(models, monkeypatch):
    seen = []
    predictor = open_one(models / "encoder_vision")
    monkeypatch.setattr(
        predictor, "predict", lambda *args, images, k: seen.append(images) or predictor.named(*no_labels())
    )
    with pytest.raises(StateError, match="does not answer"):
        check(predictor)
    assert len(seen[0]) == 1


def test_nobody_looks_unless_asked_to(folder):
    alone = Models({"m": open_one(folder)})
    before = alone.get("m")
    renew(folder)
    alone.look()
    assert alone.get("m") is before
    assert "Restart" in alone.notice("m", before)
    with pytest.raises(ConfigError, match="no model"):
        Models({})


def test_the_application_looks_while_it_runs(folder, monkeypatch):
    real = Watch.__init__
    monkeypatch.setattr(Watch, "__init__", lambda self, models: real(self, models, seconds=0.05))
    app = web.create_app({"m": open_one(folder)}, reopen=open_one)
    with TestClient(app) as client:
        first = client.post("/api/predict", json={"text": "red vase", "k": 1}).json()
        newer = renew(folder)
        swapped = threading.Event()
        for _ in range(600):
            last = client.post("/api/predict", json={"text": "red vase", "k": 1}).json()
            if last["fingerprint"] == newer.fingerprint:
                break
            swapped.wait(0.1)
        assert first["fingerprint"] != last["fingerprint"] == newer.fingerprint
        assert first["labels"] == last["labels"]
        assert "notice" not in last
        # a picture of a row of the older model is not one of the newer
        assert client.get(f"/api/picture/m/label/1?of={newer.fingerprint}").status_code == 200
        assert client.get(f"/api/picture/m/label/1?of={first['fingerprint']}").status_code == 404
