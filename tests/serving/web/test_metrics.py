"""The metrics, as Prometheus' own parser reads them."""

from __future__ import annotations

import json
import logging
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from vixml import Predictor
from vixml.images import decode
from vixml.serving.web import app as web
from vixml.serving.web.limits import MAX_BODY, Admission
from vixml.serving.web.logs import REQUESTS


@pytest.fixture(scope="module")
def model(models):
    return Predictor.open(models / "encoder_text", device="cpu")


@pytest.fixture
def client(model):
    return TestClient(web.create_app({"m": model}))


def samples(client):
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


def of(found, name, **labels):
    return found.get((name, tuple(sorted(labels.items()))), 0)


def test_requests_are_counted_by_route_and_status(client):
    client.post("/api/predict", json={"text": "a"})
    client.post("/api/predict", json={"text": " "})
    for number in range(5):
        client.get(f"/api/picture/m/label/{number}")
        client.get(f"/anything-{number}")
        client.get(f"/any/thing/{number}")
    found = samples(client)
    ask = {"route": "/api/predict", "method": "POST"}
    assert of(found, "vixml_requests_total", **ask, status="200") == 1
    assert of(found, "vixml_requests_total", **ask, status="422") == 1
    assert of(found, "vixml_request_seconds_count", route="/api/predict") == 2
    assert of(found, "vixml_request_seconds_sum", route="/api/predict") > 0
    assert of(found, "vixml_request_seconds_count", route="/api/picture/{model}/{side}/{row}") == 5
    routes = {dict(labels).get("route") for name, labels in found if name == "vixml_requests_total"}
    assert routes == {"/api/predict", "/api/picture/{model}/{side}/{row}", "/{name}", "none"}, "few, whatever is asked"


def test_models_and_the_process(client, model):
    found = samples(client)
    facts = {"dataset": "shop", "variant": "encoder_text", "fingerprint": model.bundle.sealed.fingerprint}
    assert of(found, "vixml_model_info", model="m", **facts) == 1
    assert of(found, "vixml_model_labels", model="m") == 48
    assert of(found, "vixml_model_stale", model="m") == 0
    for outcome in ("swapped", "refused"):
        assert ("vixml_model_swaps_total", (("model", "m"), ("outcome", outcome))) in found
    assert of(found, "process_resident_memory_bytes") > 1e7


def test_the_queue_and_the_pixels(model, monkeypatch):
    gate, begun = threading.Event(), threading.Event()

    def answer(*args):
        begun.set()
        gate.wait(300)
        return {"labels": []}

    monkeypatch.setattr(web, "answer", answer)
    client = TestClient(web.create_app({"m": model}, admission=Admission(1, 1)))
    threads = [threading.Thread(target=lambda: client.post("/api/predict", json={"text": "a"})) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        assert begun.wait(300)
        while of(samples(client), "vixml_questions_waiting") < 1:
            begun.wait(0.01)
        with decode._IN_FLIGHT.taking(1234):
            found = samples(client)
        assert of(found, "vixml_pixels_in_flight") == 1234
        assert of(found, "vixml_questions_at_work") == 1
        assert of(found, "vixml_questions_most") == 2
        assert of(found, "vixml_question_bytes") == 2 * len(json.dumps({"text": "a"}, separators=(",", ":")))
        busy = client.get("/ready")
        assert (busy.status_code, busy.json()["status"], busy.headers["retry-after"]) == (503, "busy", "1")
        refused = client.post("/api/predict", json={"text": "a"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert client.get("/health").status_code == 200
    finally:
        gate.set()
        for thread in threads:
            thread.join(300)
    found = samples(client)
    assert of(found, "vixml_requests_total", route="/api/predict", method="POST", status="503") == 1
    assert of(found, "vixml_questions_at_work") == of(found, "vixml_question_bytes") == 0
    ready = client.get("/ready").json()
    assert ready["status"] == "ready"
    assert ready["models"]["m"]["fingerprint"] == model.bundle.sealed.fingerprint


def test_questions_are_bounded_by_their_bytes(model):
    """A question whose length is not said counts as the longest one."""
    client = TestClient(web.create_app({"m": model}, admission=Admission(4, 4, MAX_BODY)))

    def body():
        assert client.post("/api/predict", json={"text": "b"}).status_code == 503, "while this one is read"
        yield b'{"text": "a"}'

    answer = client.post("/api/predict", content=body(), headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert client.post("/api/predict", json={"text": "b"}).status_code == 200


def test_every_question_is_logged_without_its_content(client, caplog):
    caplog.set_level(logging.INFO, logger=REQUESTS)
    client.post("/api/predict", json={"text": "a secret"})
    client.get("/health")
    (record,) = [one for one in caplog.records if one.name == REQUESTS]
    facts = record.facts
    assert (facts["route"], facts["method"], facts["status"]) == ("/api/predict", "POST", 200)
    assert facts["seconds"] > 0
    assert facts["bytes"] > 100
    assert "secret" not in str(record.__dict__)
