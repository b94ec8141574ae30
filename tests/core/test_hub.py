"""A hub that offers too much: refused before a byte of the weights is asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vixml.core.errors import ConfigError
from vixml.core.hub import check_available, check_download
from vixml.images.vision import load_vision
from vixml.models.text.backbone import make_backbone
from vixml.models.text.tokenizer import make_tokenizer
from vixml.params.data.vision import VisionParams
from vixml.params.model import BackboneParams

FILES = {
    "config.json": 700,
    "model.safetensors": 3_000_000_000,
    "model-00001-of-00002.safetensors": 2_000_000_000,
    "onnx/model.safetensors": 9_000_000_000,
    "open_clip_model-00001-of-00002.safetensors": 6_000_000_000,
    "open_clip_model-00002-of-00002.safetensors": 5_000_000_000,
}


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(self.path.partition("?")[0])
        listed = [{"rfilename": name, "size": size} for name, size in FILES.items()]
        known = self.path.startswith("/api/models/some/model")
        body = json.dumps({"id": "some/model", "siblings": listed}).encode() if known else b"{}"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Paths that a hub on this machine was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server.asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("weights", "limit", "refused"),
    [("model", 2.9, "3.0 GB"), ("model", 3.0, None), ("open_clip_model", 10.9, "11.0 GB"), ("other", 0.1, None)],
)
def test_only_the_weights_that_would_be_fetched_count(
    asked: list[str], weights: str, limit: float, refused: str | None
) -> None:
    """One file where there is one, else its parts; nothing in folders."""
    if refused is None:
        check_download("some/model", limit, weights=weights, setting="x.max_download_gb")
    else:
        with pytest.raises(ConfigError, match=rf"some/model, {refused}.*at most {limit} GB.*`x.max_download_gb`"):
            check_download("some/model", limit, weights=weights, setting="x.max_download_gb")
    assert asked == ["/api/models/some/model"]


def test_a_hub_that_says_nothing_is_the_loaders_matter(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    check_download("nobody/nothing", 0.001, weights="model", setting="x")
    assert asked == ["/api/models/nobody/nothing"]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    check_download("some/model", 0.001, weights="model", setting="x")
    assert len(asked) == 1


def test_a_text_model_is_asked_for_its_size_first(asked: list[str]) -> None:
    tokenizer = make_tokenizer(BackboneParams(), ["red shoe"])
    params = BackboneParams(name="some/model", max_download_gb=2)
    with pytest.raises(ConfigError, match=r"larger than may be downloaded.*`encoder\.backbone\.max_download_gb`"):
        make_backbone(params, tokenizer, max_positions=40)
    assert asked == ["/api/models/some/model"]


def test_a_vision_model_too(asked: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"some/model, 11\.0 GB.*at most 10 GB.*`vision\.max_download_gb`"):
        load_vision(VisionParams(model="hf-hub:some/model"), 0)
    assert [path for path in asked if path != "/"] == ["/api/models/some/model"]


class TestAvailable:
    """Whether a model can be had is found out before a run, not after its first minutes."""

    @pytest.fixture
    def offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        return tmp_path

    def test_no_hub_and_no_cache_names_three_ways_on(self, offline: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            check_available({"encoder_backbone": "some/model"})
        for way in ("encoder_backbone=FOLDER", "hf download some/model", "encoder_backbone=tiny"):
            assert way in str(caught.value)

    def test_all_that_are_missing_are_named_at_once(self, offline: Path) -> None:
        wanted = {"encoder_backbone": "a/b", "decoder_backbone": "c/d", "vision_backbone": str(offline)}
        with pytest.raises(ConfigError, match=r"a/b \(encoder_backbone\), c/d \(decoder_backbone\)") as caught:
            check_available(wanted)
        assert '"encoder_backbone=tiny,decoder_backbone=tiny"' in str(caught.value)

    def test_a_cached_one_and_a_folder_need_no_hub(self, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: f"/cache/{name}/{file}")
        check_available({"encoder_backbone": "some/model", "vision_backbone": str(offline)})

    def test_a_folder_that_is_not_there(self, offline: Path) -> None:
        with pytest.raises(ConfigError, match="folder does not exist"):
            check_available({"encoder_backbone": str(offline / "gone")})

    def test_a_hub_that_answers_is_left_to_the_loader(self, asked: list[str]) -> None:
        check_available({"encoder_backbone": "some/model", "decoder_backbone": "other/model"})
        assert len(asked) == 1, "one question, whatever the number of models"
