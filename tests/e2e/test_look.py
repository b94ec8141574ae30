"""A finished run in a real browser: Kedro-Viz as a static site, and MLflow's comparison of the four variants."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.processes import program, run_command, start, wait_until
from tests.servers import answers, free_port

from vixml.configuration.compose import VARIANTS
from vixml.pipeline_registry import register_pipelines

pytestmark = pytest.mark.e2e

BIN = Path(sys.executable).parent


@pytest.fixture
def page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=300_000)
        opened = browser.new_page(viewport={"width": 1600, "height": 1000})
        opened.set_default_timeout(300_000)
        yield opened
        browser.close()


def see_kedro_viz(site: Path, page: Any) -> None:
    """Every pipeline is drawn with its layers, reports have previews, and nothing is wrong on the console."""
    noise: list[str] = []
    page.on("pageerror", lambda error: noise.append(str(error)))
    # it asks for a font from elsewhere, and for a file that only a published site has, and does without both
    missed = ("Failed to load resource", "metadata fetch error")
    page.on(
        "console", lambda said: said.type == "error" and not said.text.startswith(missed) and noise.append(said.text)
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        graphs = {name: _answer(site, "pipelines", name) for name in register_pipelines()}
        layers = {node["layer"] for graph in graphs.values() for node in graph["nodes"] if node.get("layer")}
        assert {"raw", "primary", "feature", "model_input", "models", "model_output", "reporting"} <= layers
        for name, graph in graphs.items():
            assert graph["nodes"], name
            assert set(graph["layers"]) == layers, f"{name}: layers form a circle"
            page.goto(f"{address}/?pid={name}")
            page.locator(".pipeline-node").first.wait_for()
            assert page.locator(".pipeline-layer").count() >= 1, name
        _see_previews(site, address, page)
    finally:
        server.shutdown()
    assert noise == []


def _see_previews(site: Path, address: str, page: Any) -> None:
    """Every report has a preview, and one of each kind is drawn."""
    nodes = [node for node in _answer(site, "main")["nodes"] if node["type"] == "data"]
    details = {node["name"]: _answer(site, "nodes", node["id"]) for node in nodes}
    reports = [node["name"] for node in nodes if node["layer"] == "reporting"]
    assert len(reports) > 5
    assert [name for name in reports if not details[name].get("preview")] == []
    kinds = {"TablePreview", "PlotlyPreview", "ImagePreview", "JSONPreview", "HTMLPreview"}
    assert {answer["preview_type"] for answer in details.values() if answer.get("preview")} == kinds
    identifiers = {node["name"]: node["id"] for node in nodes}
    drawn = {"picture_sheet": "img", "comparison_plot": ".js-plotly-plot", "comparison_table": "td"}
    for name, shown in drawn.items():
        page.goto(f"{address}/?pid=__default__&sid={identifiers[name]}")
        page.locator(f".pipeline-metadata {shown}").first.wait_for()


def _answer(site: Path, *parts: str) -> Any:
    return json.loads(site.joinpath("api", *parts).read_text(encoding="utf-8"))


def see_mlflow(project: Path, page: Any) -> None:
    """The links of docs/how-to/mlflow.md show curves of all variants, and what differs between them."""
    from mlflow import MlflowClient

    port = free_port()
    log = project / "mlflow.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
        server = start(program, ["kedro", "mlflow", "ui", "--port", str(port)], folder=project, outputs=(log, log))
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), server.is_alive, seconds=900)
        client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("vixml").experiment_id
        runs = client.search_runs([experiment], "tags.variant != ''")
        assert {run.info.run_name for run in runs} == set(VARIANTS)
        site = f"http://127.0.0.1:{port}/#"

        page.goto(f"{site}/experiments/{experiment}/runs?orderByKey=metrics.%60P_at_1%60&compareRunsMode=CHART")
        for name in VARIANTS:
            page.get_by_text(f"{name} (batch/loss)").first.wait_for()
        page.get_by_text("epoch/loss", exact=True).first.wait_for()
        # final metrics are below the curves; what is out of sight is not drawn
        page.get_by_placeholder("Search metric charts").fill("R_at_10")
        page.get_by_text("R_at_10", exact=True).first.wait_for()

        chosen = urllib.parse.quote(json.dumps([run.info.run_id for run in runs]))
        experiments = urllib.parse.quote(json.dumps([experiment]))
        page.goto(f"{site}/compare-runs?runs={chosen}&experiments={experiments}")
        for name in ("backbone.family", "model.use_images", "P_at_1"):
            page.get_by_text(name, exact=True).first.wait_for()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.join()


def test_kedro_viz_shows_a_run(finished: Path, page: Any) -> None:
    built = run_command("kedro", "viz", "build", "--include-previews", folder=finished)
    assert built.returncode == 0, built.stderr
    see_kedro_viz(finished / "build", page)


def test_mlflow_shows_a_run(finished: Path, page: Any) -> None:
    see_mlflow(finished, page)
