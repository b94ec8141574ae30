"""The JSON interface behind the page: answers, limits, errors, headers."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image
from starlette.testclient import TestClient

from vixml import Predictor
from vixml.core.directories import WorkDirectory, publish
from vixml.core.errors import ConfigError, DataError, StateError
from vixml.images import decode as decode_module
from vixml.params.retrieval import LabelUpdateParams
from vixml.serving.bundle import PredictorBundle
from vixml.serving.labels import LabelChanges, update_labels
from vixml.serving.web import app as web
from vixml.serving.web import limits
from vixml.serving.web.server import LOOPBACK


@pytest.fixture(scope="module")
def client(models):
    names = ("encoder_vision", "encoder_text")
    return TestClient(web.create_app({name: Predictor.open(models / name) for name in names}))


@pytest.fixture
def image(root):
    return base64.b64encode((root / "images/L1.png").read_bytes()).decode()


def ask(client, **question):
    return client.post("/api/predict", json=question)


def test_health_and_models(client):
    assert client.get("/health").json() == {"status": "ok", "models": ["encoder_vision", "encoder_text"]}
    described = client.get("/api/models").json()
    assert [(one["name"], one["labels"], one["uses_images"]) for one in described] == [
        ("encoder_vision", 48, True),
        ("encoder_text", 48, False),
    ]


def test_labels_neighbours_and_pictures(client, image):
    answer = ask(client, text="red vase", images=[image], k=3, neighbours=2).json()
    assert [label["rank"] for label in answer["labels"]] == [1, 2, 3]
    assert len(answer["neighbours"]) == 2
    assert all(one["labels"] for one in answer["neighbours"])
    shown = next(label for label in ask(client, text="red", k=48).json()["labels"] if label["picture"])
    response = client.get(f"/api/picture/encoder_vision/label/{shown['row']}")
    assert response.headers["content-type"] == "image/png"
    assert max(Image.open(io.BytesIO(response.content)).size) <= 160
    assert client.get("/api/picture/encoder_vision/train/1").status_code == 200


def test_pictures_of_labels_added_later(models, tmp_path, image):
    """A text-only model without pictures of its own shows those of added labels, and none from elsewhere."""
    pictures = tmp_path / "new pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(base64.b64decode(image))
    (tmp_path / "secret.png").write_bytes(base64.b64decode(image))
    added = {"inside": ("a", ["a.png"]), "outside": ("b", ["../secret.png"])}
    bundle = PredictorBundle.open(models / "encoder_text")
    bundle = replace(bundle, settings=bundle.settings.model_copy(update={"image_root": None}))
    changes = LabelChanges(added=added, image_root=pictures)
    built, _ = update_labels(bundle, changes, LabelUpdateParams(), WorkDirectory(tmp_path / "work"))
    publish(built, tmp_path / "updated")
    client = TestClient(web.create_app({"new": Predictor.open(tmp_path / "updated")}))
    shown = {one["label_id"]: one for one in ask(client, text="a", k=50).json()["labels"]}
    assert shown["inside"]["picture"]
    assert not shown["L001"]["picture"]  # where its relative path begins is not known
    assert client.get("/api/picture/new/label/48").status_code == 200
    assert client.get("/api/picture/new/label/49").status_code == 404
    assert client.get("/api/picture/new/label/1").status_code == 404


def test_a_data_url_is_an_image_too(client, image):
    plain = ask(client, text="a", images=[image]).json()
    assert ask(client, text="a", images=[f"data:image/png;base64,{image}"]).json() == plain


@pytest.mark.parametrize("row", ["0", "48", "100000"])
def test_no_picture(client, row):
    assert client.get(f"/api/picture/encoder_vision/label/{row}").status_code == 404


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n broken", b"<svg onload='alert(1)'/>", b""])
@pytest.mark.parametrize("model", ["encoder_vision", "encoder_text"])
def test_a_broken_image_is_a_clear_error(client, model, content):
    response = ask(client, model=model, text="a", images=[base64.b64encode(content).decode()])
    assert response.status_code == 422
    assert response.json()["detail"].startswith("The image cannot be read: ")


def test_bad_questions(client, image):
    assert "not base64" in ask(client, text="a", images=["!"]).json()["detail"]
    assert "empty" in ask(client, text="  ").json()["detail"]
    assert ask(client, model="other", text="a").status_code == 404
    for wrong in ({"k": 0}, {"k": 101}, {"images": [image] * 5}, {"txt": "a"}, {"text": "a" * 20_001}):
        assert ask(client, **{"text": "a", **wrong}).status_code == 422, wrong
    assert client.get("/nothing").status_code == 404
    assert client.get("/api/picture/encoder_vision/raw/1").status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"text": "red \\ud800"}', b'{"text": "\\udfff\\ud800"}', b'{"text": "a", "\\ud800": 1}'),
        *(b'{"text": "a", "k": NaN}', b'{"text": "a", "k": Infinity}', b'{"text": "a", "k": -Infinity}'),
        *(b'{"text": "a", "k": 1e999}', b'{"text": "a", "k": ' + b"9" * 5000 + b"}", b'{"text": NaN}', b"NaN", b"[]"),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"null", b'"\\ud800"', b'{"images": ["\\ud800"]}'),
        *(
            b'{"images": "abc"}',
            b'{"text": {"a": 1}}',
            b'{"model": "\\ud800", "text": "a"}',
            b'{"text": "a", "k": "many"}',
        ),
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_whatever_is_asked_is_answered_with_a_sentence(client, body):
    response = client.post("/api/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    sentence = response.json()["detail"]
    assert isinstance(sentence, str)
    assert sentence.endswith(".")
    assert len(sentence) < 1000


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 503, "out of memory"),
        (StateError("the index refers to labels that do not exist"), 503, "do not exist"),
        (DataError("the query is odd"), 422, "odd"),
    ],
)
def test_errors_of_the_machine_are_sentences_too(client, monkeypatch, error, status, words):
    def fail(*args):
        raise error

    monkeypatch.setattr(web, "answer", fail)
    response = ask(client, text="a")
    assert response.status_code == status
    assert words in response.json()["detail"]


def test_an_image_is_decoded_once(client, image, monkeypatch):
    calls = []
    monkeypatch.setattr(
        decode_module, "_decode", lambda *args, real=decode_module._decode: calls.append(1) or real(*args)
    )
    for model, images, times in (
        ("encoder_vision", [image], 1),
        ("encoder_vision", [image] * 3, 3),
        ("encoder_text", [image], 1),
    ):
        calls.clear()
        assert ask(client, model=model, text="a", images=images).status_code == 200
        assert len(calls) == times


def test_an_image_of_thousands_of_scans_is_refused(client):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    content = content[:last] + content[last:-2] * 6000 + content[-2:]
    assert "too many scans" in ask(client, text="a", images=[base64.b64encode(content).decode()]).json()["detail"]


def test_uploads_are_limited(client, monkeypatch):
    large = base64.b64encode(bytes(limits.MAX_IMAGE_BYTES + 1)).decode()
    assert "too large" in ask(client, text="a", images=[large]).json()["detail"]
    assert client.post("/api/predict", content=b"x" * (limits.MAX_BODY + 1)).status_code == 413
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")  # few bytes, 81 million pixels
    bomb = ask(client, text="a", images=[base64.b64encode(buffer.getvalue()).decode()])
    assert "too large" in bomb.json()["detail"]


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("", "page.css", "page.js"):
        text = client.get(f"/{name}").text
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text


def test_the_page_brings_its_own_icon(client):
    assert 'href="/favicon.svg"' in client.get("/").text
    assert client.get("/favicon.svg").headers["content-type"] == "image/svg+xml"


def test_other_host_names_are_refused_on_the_own_machine(models):
    app = web.create_app({"m": Predictor.open(models / "encoder_text")}, hosts=LOOPBACK)
    assert TestClient(app, base_url="http://127.0.0.1:8000").get("/health").status_code == 200
    assert TestClient(app, base_url="http://evil.example").get("/health").status_code == 400


def test_no_model():
    with pytest.raises(ConfigError, match="no model"):
        web.create_app({})


def test_the_commands_say_what_is_missing(tmp_path):
    from typer.testing import CliRunner

    from vixml.commands import app

    for arguments in (["serve", "--model", str(tmp_path)], ["export-mlflow", "--model", str(tmp_path), "--to", "x"]):
        ended = CliRunner().invoke(app, arguments)
        assert ended.exit_code == 1
        assert "no complete output is here" in ended.output
        assert "http://" not in ended.output, "nothing listens there"
