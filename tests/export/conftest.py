"""A trained-in-form text model as `tests/serving/shop.py` makes it, and packages in folders of their own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("export_shop", Path(__file__).parents[1] / "serving" / "shop.py")
assert _spec is not None
assert _spec.loader is not None
shop = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shop)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The folder of models of an `encoder_text`."""
    folder = tmp_path_factory.mktemp("export")
    shop.make_predictor(folder / "raw", folder, "encoder_text")
    return folder / "encoder_text"


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Return what installs packages without their dependencies into a folder; it skips where no registry answers."""

    def install(*names: str) -> Path:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            pytest.skip("uv is not installed (extra `dev`)")
        folder = tmp_path_factory.mktemp("packages")
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
        try:
            ended = subprocess.run([*command, *names], capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("the package registry does not answer")
        if ended.returncode:
            pytest.skip(f"{', '.join(names)} cannot be installed: {ended.stderr.strip()[-200:]}")
        return folder

    return install
