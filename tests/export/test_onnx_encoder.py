"""The ONNX encoder gives torch's vectors, for any number and length of texts; without the libraries a clear error."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from vixml.core.errors import ConfigError
from vixml.export import onnx_encoder
from vixml.serving.bundle import PredictorBundle

WRITE = """
import sys
from pathlib import Path
from vixml.export.onnx_encoder import write_onnx
from vixml.serving.bundle import PredictorBundle
encoder = PredictorBundle.open(sys.argv[1]).encoder(device="cpu")
texts = ["red vase", "blue, green and black shoe", "a white sofa " * 40]
print(write_onnx(encoder, Path(sys.argv[2]), texts)["largest_difference"])
"""


def test_onnxruntime_gives_the_same_vectors(model, packages, tmp_path):
    names = ("onnx", "onnxscript", "onnx-ir", "onnxruntime", "ml-dtypes", "flatbuffers", "protobuf")
    path = os.pathsep.join([str(packages(*names)), *sys.path])
    command = [sys.executable, "-c", WRITE, str(model), str(tmp_path / "encoder.onnx")]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=1800, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert float(ended.stdout.split()[-1]) <= onnx_encoder.TOLERANCE
    assert (tmp_path / "encoder.onnx").stat().st_size > 1000


def test_without_the_libraries_it_says_what_to_install(model, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_encoder, "find_spec", lambda name: None if name == "onnx" else find_spec("json"))
    encoder = PredictorBundle.open(model).encoder(device="cpu")
    with pytest.raises(ConfigError, match="not installed: onnx") as error:
        onnx_encoder.write_onnx(encoder, tmp_path / "encoder.onnx", ["a"])
    assert "extra `onnx`" in str(error.value)
