"""One query, one answer: Predictor, file prediction, MLflow model and served HTTP agree to 1e-5."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.processes import program, start, wait_until
from tests.servers import answers, free_port

from vixml.core.directories import WorkDirectory
from vixml.core.errors import StateError
from vixml.params.prediction import PredictionParams
from vixml.serving.batch import predict_file

TEXTS = ["red vase", "blue shoe", "", "black clock"]  # the third has images only
IMAGES = [["images/L1.png"], [], ["images/L2.png", "images/L3.png"], ["images/q6.png"]]
K = 6


@pytest.fixture(scope="module")
def expected(predictor, root):
    return predictor.predict(TEXTS, images=[[root / name for name in names] for names in IMAGES], k=K)


@pytest.fixture(scope="module")
def encoded(root):
    return [[base64.b64encode((root / name).read_bytes()).decode() for name in names] for names in IMAGES]


@pytest.fixture(scope="module")
def exported(models, tmp_path_factory):
    from vixml.tracking.export import export_model

    folder = tmp_path_factory.mktemp("mlflow") / "model"
    assert export_model(models / "encoder_vision", folder) is None
    return folder


def agree(expected, ids, texts, scores):
    assert [list(row) for row in ids] == [list(one.label_ids) for one in expected]
    assert [list(row) for row in texts] == [list(one.texts) for one in expected]
    np.testing.assert_allclose([list(row) for row in scores], [one.scores for one in expected], atol=1e-5)


def test_prediction_of_a_file(predictor, expected, root, tmp_path):
    file = root / "same.jsonl"
    records = [
        {"id": n, "text": text, "images": names} for n, (text, names) in enumerate(zip(TEXTS, IMAGES, strict=True))
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    built, _ = predict_file(predictor, PredictionParams(queries=str(file), k=K, block_size=3), WorkDirectory(tmp_path))
    groups = [group for _, group in pd.read_parquet(built.path / "predictions.parquet").groupby("query_id")]
    agree(expected, *([group[name] for group in groups] for name in ("label_id", "label_text", "score")))


def test_web_service(predictor, expected, encoded):
    from starlette.testclient import TestClient

    from vixml.serving.web.app import create_app

    client = TestClient(create_app({"m": predictor}))
    answers = [
        client.post("/api/predict", json={"text": text, "images": images, "k": K}).json()["labels"]
        for text, images in zip(TEXTS, encoded, strict=True)
        if text or images
    ]
    agree(
        expected, *([[label[key] for label in labels] for labels in answers] for key in ("label_id", "text", "score"))
    )


def test_mlflow_model(exported, expected, encoded):
    import mlflow

    model = mlflow.pyfunc.load_model(str(exported))
    found = model.predict(pd.DataFrame({"text": TEXTS, "images": encoded}), params={"k": K})
    agree(expected, found["label_ids"], found["label_texts"], found["scores"])
    assert model.metadata.signature is not None
    assert [len(row) for row in model.predict(model.input_example)["label_ids"]] == [10, 10]
    assert len(model.predict(pd.DataFrame({"text": ["red vase"]}))) == 1, "the column of images is optional"
    assert not list(exported.rglob("*.pkl"))


def test_an_existing_folder_is_not_overwritten(models, exported):
    from vixml.tracking.export import export_model

    with pytest.raises(StateError, match="exists already"):
        export_model(models / "encoder_vision", exported)


@pytest.mark.e2e
def test_mlflow_models_serve(exported, expected, encoded, tmp_path):
    command = ["mlflow", "models", "serve", "-m", str(exported), "-h", "127.0.0.1", "--env-manager", "local"]
    with served([*command, "-p"], "ping", tmp_path) as address:
        queries = [{"text": text, "images": images} for text, images in zip(TEXTS, encoded, strict=True)]
        answer = post(f"{address}/invocations", {"dataframe_records": queries, "params": {"k": K}})
        found = pd.DataFrame(answer["predictions"])
        agree(expected, found["label_ids"], found["label_texts"], found["scores"])


@pytest.mark.e2e
def test_vixml_serve(models, expected, encoded, tmp_path):
    command = ["vixml", "serve", "--model", str(models / "encoder_vision")]
    with served([*command, "--port"], "health", tmp_path) as address:
        answers = [
            post(f"{address}/api/predict", {"text": text, "images": images, "k": K})["labels"]
            for text, images in zip(TEXTS, encoded, strict=True)
        ]
    columns = ([[label[key] for label in labels] for labels in answers] for key in ("label_id", "text", "score"))
    agree(expected, *columns)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


@contextmanager
def served(command, path, tmp_path):
    """Start `<command> <free port>` and give its address once it answers; stop it afterwards."""
    port, log = free_port(), tmp_path / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        server = start(program, [*command, str(port)], folder=tmp_path, outputs=(log, log))
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/{path}"), server.is_alive, seconds=900)
        yield f"http://127.0.0.1:{port}"
    except RuntimeError as err:
        pytest.fail(f"{err}\n{log.read_text()[-3000:]}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.join()
