"""Files that would run code when they are opened are refused, in every place where a file is opened."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from vixml.core.errors import ConfigError, VixmlError
from vixml.data.matrix import read_matrix
from vixml.images.bank import ImageBank
from vixml.images.vision import load_vision
from vixml.models.text.backbone import make_backbone
from vixml.models.text.tokenizer import load_tokenizer, make_tokenizer
from vixml.params.data.vision import VisionParams
from vixml.params.model import BackboneParams

RAN = []


class Payload:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return RAN.append, (1,)


@pytest.fixture(autouse=True)
def nothing_ran():
    yield
    assert RAN == []


def test_an_image_bank_with_a_pickled_array(tmp_path):
    np.save(tmp_path / "vectors.npy", np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(VixmlError, match="missing or damaged"):
        ImageBank.open(tmp_path)


def test_a_matrix_with_a_pickled_array(tmp_path):
    with (tmp_path / "m.npz").open("wb") as stream:
        np.savez(stream, indices=np.array([Payload()], dtype=object), allow_pickle=True)
    with pytest.raises(Exception, match=r"(?i)npz|matrix|damaged|missing"):
        read_matrix(tmp_path / "m.npz")


def test_a_text_backbone_with_pickled_weights(golden_dir, tmp_path):
    make_tokenizer(BackboneParams(), ["red shoe"]).save_pretrained(str(tmp_path / "model"))
    shutil.copy(golden_dir / "models" / "tiny-bert" / "config.json", tmp_path / "model")
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    params = BackboneParams(name=str(tmp_path / "model"))
    with pytest.raises(ConfigError, match="could not be loaded"):
        make_backbone(params, load_tokenizer(tmp_path / "model"), max_positions=40)


def test_a_backbone_with_code_of_its_own(tmp_path):
    (tmp_path / "code.py").write_text("import pathlib; pathlib.Path('ran').touch()\nclass Model: ...\n")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "code.Model", "AutoModel": "code.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError):
        make_backbone(BackboneParams(name=str(tmp_path)), None, max_positions=40)  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("ran"))


def test_a_vision_model_with_pickled_weights(tmp_path):
    config = {
        "model_cfg": {"embed_dim": 8, "vision_cfg": {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}}
    }
    config["model_cfg"]["text_cfg"] = {"width": 64, "heads": 1, "layers": 1}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({**config, "preprocess_cfg": {}}))
    torch.save({}, tmp_path / "open_clip_pytorch_model.bin")
    before = torch.load
    with pytest.raises(ConfigError, match="pickle file"):
        load_vision(VisionParams(model=f"local-dir:{tmp_path}"), 0)
    assert torch.load is before
