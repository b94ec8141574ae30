"""Predictors over a small shop, made once a session."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_file = Path(__file__).parent / "shop.py"
_spec = importlib.util.spec_from_file_location("serving_shop", _file)
assert _spec is not None
assert _spec.loader is not None
shop = importlib.util.module_from_spec(_spec)
sys.modules["serving_shop"] = shop
_spec.loader.exec_module(shop)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The shop's raw folder, with pictures in `images`."""
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="session")
def models(root, tmp_path_factory):
    """A folder of models: `encoder_text` and `encoder_vision`, as 06_models/<data set>."""
    folder = tmp_path_factory.mktemp("models")
    for variant in ("encoder_text", "encoder_vision"):
        shop.make_predictor(root, folder, variant)
    return folder


@pytest.fixture(scope="session")
def predictor(models):
    from vixml import Predictor

    return Predictor.open(models / "encoder_vision", device="cpu")
