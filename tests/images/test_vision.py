"""The vision encoder: its own preprocessing, reproducible tiny weights, and clear errors at once."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from vixml.core.errors import ConfigError
from vixml.demo.drawing import COLOURS, JITTER_WIDTH, PATTERNS, SECOND_COLOURS, SHAPES, draw_batch
from vixml.images import vision
from vixml.images.vision import VisionEncoder, load_vision
from vixml.params.data.vision import VisionParams


@pytest.fixture(scope="module")
def tiny() -> VisionEncoder:
    return load_vision(VisionParams(), 0)


def test_tiny_is_reproducible_by_seed_and_leaves_the_global_stream_alone() -> None:
    params = VisionParams(tiny_image_size=32)
    tiny = load_vision(params, 0)
    vision._load_tiny.cache_clear()  # type: ignore[attr-defined]  # of tests/shortcuts.py
    image = [Image.new("RGB", (50, 70), (200, 30, 30))]
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    again, other = load_vision(params, 0), load_vision(params, 1)
    assert torch.equal(torch.rand(2), expected)
    np.testing.assert_array_equal(tiny.encode(image), again.encode(image))
    assert not np.allclose(tiny.encode(image), other.encode(image))
    assert tiny.identity == again.identity != other.identity
    assert tiny.encode([]).shape == (0, tiny.dim) == (0, 512)


def test_a_linear_model_reads_drawings_from_tiny_features(tiny: VisionEncoder) -> None:
    generator = np.random.default_rng(0)
    count, train = 700, 550
    options = {"colour": COLOURS, "second": SECOND_COLOURS, "pattern": PATTERNS, "shape": SHAPES}
    chosen = {name: generator.integers(0, len(values), count) for name, values in options.items()}
    drawings = draw_batch(**chosen, jitter=generator.random((count, JITTER_WIDTH)), pixels=64)
    features = StandardScaler().fit_transform(tiny.encode([Image.fromarray(drawing) for drawing in drawings]))
    for name, least in {"colour": 0.95, "pattern": 0.8, "shape": 0.6}.items():
        model = LogisticRegression(C=0.05, max_iter=200).fit(features[:train], chosen[name][:train])
        assert model.score(features[train:], chosen[name][train:]) > least, name


def test_a_local_folder_brings_its_preprocessing(shared_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_dir / "models" / "openclip-mobilenetv2"
    if not folder.is_dir():
        pytest.skip("no MobileNetV2 weights in the shared folder")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8))
    encoder = load_vision(VisionParams(model=f"local-dir:{folder}"), 0)
    squashed = np.asarray(image.resize((96, 96), Image.Resampling.BICUBIC), dtype=np.float32)
    expected = torch.from_numpy((squashed / 255 - 0.5) / 0.5).permute(2, 0, 1)
    torch.testing.assert_close(encoder.preprocess(image), expected)
    assert encoder.dim == 1280
    monkeypatch.chdir(folder.parent)
    for name in (f"local-dir:{folder.name}", f"local-dir:./{folder.name}", str(folder)):
        relative = load_vision(VisionParams(model=name), 5)
        assert relative.identity == encoder.identity
        np.testing.assert_array_equal(relative.encode([image]), encoder.encode([image]))


def test_a_folder_without_weights_is_refused(shared_dir: Path, tmp_path: Path) -> None:
    config = shared_dir / "models" / "openclip-mobilenetv2" / "open_clip_config.json"
    if not config.is_file():
        pytest.skip("no MobileNetV2 configuration in the shared folder")
    shutil.copy(config, tmp_path)
    with pytest.raises(ConfigError, match="could not be loaded"):
        load_vision(VisionParams(model=f"local-dir:{tmp_path}"), 0)


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("local-dir:/nowhere/at/all", None, "no such folder"),
        ("ViT-B-33", "openai", "did you mean ViT-B-32"),
        ("ViT-B-32", None, "one of openai"),
        ("ViT-B-32", "no-such-tag", "one of openai"),
        ("ViT-B-32", "weights.safetensors", "local-dir:FOLDER"),
        ("ViT-SO400M-16-SigLIP2-384", None, "local-dir:FOLDER"),
        ("hf-hub:timm/ViT-B-16-SigLIP2", None, "network connection"),
    ],
)
def test_what_cannot_be_loaded_is_said_at_once(
    model: str, pretrained: str | None, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)  # of a client that tries again
    with pytest.raises(ConfigError, match=message):
        load_vision(VisionParams(model=model, pretrained=pretrained), 0)
    assert waited == []
