"""The documentation site builds without a warning, and the configuration reference is what the models say."""

from __future__ import annotations

import os
import re
import shutil
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


def test_pictures_in_html_are_there_in_light_and_dark() -> None:
    """The site's build checks Markdown links only; `<picture>` shows another file where the browser is dark."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = [(page, name) for page in pages for name in re.findall(r'src(?:set)?="([^"]+)"', page.read_text("utf-8"))]

    assert len(named) >= 12
    assert [name for page, name in named if not (page.parent / name).is_file()] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors: links, anchors, pictures and the API's docstrings."""
    pytest.importorskip("material", reason="mkdocs-material is not installed (extra `docs`)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_no_page_asks_for_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)[^>]*(?:src|href)=\"(https?://[^\"]+)", page.read_text(encoding="utf-8")
        )
        assert loaded == [], page.name
    assert "balanced_clusters" in (site / "reference" / "api.html").read_text(encoding="utf-8")


def test_the_site_can_be_searched_from_a_folder(site: Path) -> None:
    """Browsers start no worker for a page of a folder: docs/javascripts/iframe-worker.js stands in."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=300_000)
        page = browser.new_page()
        page.goto((site / "tutorials" / "own_shop.html").as_uri())
        page.locator("input[name=query]").fill("prototype")
        page.locator(".md-search-result__item").first.wait_for(state="attached", timeout=120_000)
        browser.close()
