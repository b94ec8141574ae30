"""The notebooks run from top to bottom on a finished run, and are kept without outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

FRESH = "get_ipython().extension_manager.loaded.clear()\n%reset -f"
"""Lets a notebook begin as in a new kernel, but for what is imported: that takes longer than the notebooks."""


def test_there_are_three() -> None:
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_are_stripped(file: Path) -> None:
    code = [c for c in json.loads(file.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.e2e
def test_they_run_on_a_finished_run(finished: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    folder = finished / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    notebooks = [nbformat.read(folder / file.name, as_version=4) for file in NOTEBOOKS]
    cells = [cell for one in notebooks for cell in (nbformat.v4.new_code_cell(FRESH), *one.cells)]
    together = nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)
    place = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(together, timeout=1800, startup_timeout=600, resources=place).execute()
    for one in notebooks:
        shown = [output for cell in one.cells if cell.cell_type == "code" for output in cell.outputs]
        assert any("data" in output for output in shown)
