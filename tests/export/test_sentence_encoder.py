"""The exported encoder opens in the real library, which knows nothing of this package, and gives the same vectors."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from vixml.core.errors import ConfigError
from vixml.export.sentence_encoder import write_sentence_encoder
from vixml.serving.bundle import PredictorBundle

from .conftest import shop

TEXTS = ["red vase <q>", "Blue, green & BLACK shoe", "x", "a white sofa " * 40, "größerer Tisch"]
OPEN = """
import json, sys
import numpy as np
sys.modules["vixml"] = None  # it must not be needed
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
np.save(sys.argv[2], model.encode(json.loads(sys.argv[3]), batch_size=2))
"""


@pytest.fixture(scope="session")
def library(packages):
    """The folder of sentence-transformers; what it needs besides is installed already."""
    return packages("sentence-transformers>=5")


def _opened(library, folder, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(library), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", OPEN, str(folder), str(tmp_path / "found.npy"), json.dumps(TEXTS)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return np.load(tmp_path / "found.npy")


def test_the_real_library_gives_the_same_vectors(model, library, tmp_path):
    encoder = PredictorBundle.open(model).encoder(device="cpu")
    write_sentence_encoder(encoder, tmp_path / "encoder")
    found = _opened(library, tmp_path / "encoder", tmp_path)
    np.testing.assert_allclose(found, encoder.embed(TEXTS), atol=1e-5)
    expected = encoder.embed(TEXTS)
    assert np.ptp(expected @ expected.T) > 1e-3, "the vectors differ from each other"


def test_shortened_vectors_too(library, tmp_path):
    from vixml.params.retrieval import RetrievalParams

    shop.make_predictor(tmp_path / "raw", tmp_path, "encoder_text", RetrievalParams(dim=6))
    encoder = PredictorBundle.open(tmp_path / "encoder_text").encoder(device="cpu")
    write_sentence_encoder(encoder, tmp_path / "encoder")
    found = _opened(library, tmp_path / "encoder", tmp_path)
    assert found.shape == (len(TEXTS), 6)
    np.testing.assert_allclose(found, encoder.embed(TEXTS), atol=1e-5)


def test_the_encoder_itself_stays_as_it_was(model, tmp_path):
    encoder = PredictorBundle.open(model).encoder(device="cpu")
    before, attention = encoder.embed(TEXTS), encoder.model.embedder.backbone.config._attn_implementation
    write_sentence_encoder(encoder, tmp_path / "encoder")
    assert encoder.model.embedder.backbone.config._attn_implementation == attention
    np.testing.assert_array_equal(encoder.embed(TEXTS), before)
    config = (tmp_path / "encoder" / "config.json").read_text(encoding="utf-8")
    assert "vixml" not in config


def test_what_the_format_cannot_hold_is_refused(tmp_path):
    shop.make_predictor(tmp_path / "raw", tmp_path, "encoder_vision")
    encoder = PredictorBundle.open(tmp_path / "encoder_vision").encoder(device="cpu")
    with pytest.raises(ConfigError, match="a model that looks at images"):
        write_sentence_encoder(encoder, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()
