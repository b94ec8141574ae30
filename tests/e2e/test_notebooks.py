"""The notebooks run from top to bottom on a finished run, and are kept without outputs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FAMILY = {
    "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
    "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
    "batching": {"batch_size": 32, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": []},
    "training": {"epochs": 2},
}
TINY = {"fabrication": {"num_train": 120, "num_test": 40, "num_labels": 40, "image_pixels": 32}, "encoder": FAMILY}


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_are_stripped(file: Path) -> None:
    code = [c for c in json.loads(file.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.e2e
def test_they_run_on_a_finished_run(kedro_run: Callable[..., Any], project: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    kedro_run("fabrication", "ingestion", "image_embedding", "encoder_text", "encoder_vision", params=TINY)
    folder = project / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    for file in NOTEBOOKS:
        notebook = nbformat.read(folder / file.name, as_version=4)
        place = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=1800, startup_timeout=600, resources=place).execute()
        shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        assert any("data" in output for output in shown)
