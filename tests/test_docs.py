"""The documentation site builds without a warning, and the configuration reference is what the models say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vixml.config import ProjectConfigLoader
from vixml.configuration.compose import ALL_VARIANTS
from vixml.configuration.reference import render
from vixml.configuration.sections import sections
from vixml.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).resolve().parents[1]


def test_the_reference_has_every_section() -> None:
    """Each top-level parameter that is a section; a family's stands for the other family and the variants."""
    parameters = ProjectConfigLoader(str(ROOT / "conf"), **CONFIG_LOADER_ARGS)["parameters"]
    nested = {name for name, value in parameters.items() if hasattr(value, "items")}

    assert set(sections()) == nested - {"decoder", *ALL_VARIANTS}


def test_the_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")

    assert written == render(), "write it anew: python -m vixml.configuration.reference docs/reference/configuration.md"


def test_the_reference_says_what_a_setting_is() -> None:
    row = next(line for line in render().splitlines() if line.startswith("| `confidence` "))

    assert row.startswith("| `confidence` | float | > 0.5, < 1 | `0.95` | Confidence of the intervals")


def test_pages_and_navigation_are_the_same() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[a-z_/-]+\.md", text[text.index("nav:") :])
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]

    assert sorted(listed) == sorted(pages)
    assert yaml.safe_load(text)["strict"] is True


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links, anchors, pictures and the API's docstrings; no page asks for anything from elsewhere."""
    pytest.importorskip("material", reason="mkdocs-material is not installed (extra `docs`)")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}

    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert built.returncode == 0, built.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)[^>]*(?:src|href)=\"(https?://[^\"]+)", page.read_text(encoding="utf-8")
        )
        assert loaded == [], page.name
    assert "balanced_clusters" in (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")
