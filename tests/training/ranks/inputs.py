"""The inputs of the tests of stages with their data set on disk, which other processes read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from safetensors.numpy import load_file
from tests.training.stage_runs import PARAMS, items, make_inputs

from vixml.core.directories import SealedDirectory, WorkDirectory, publish
from vixml.data.dataset import PARTS, Dataset, build_dataset
from vixml.training.variant_data import VariantData


def dataset_inputs(folder: Path) -> VariantData:
    """Write 50 queries and 20 labels as an ingested data set; return it with the settings of the stages' tests."""
    inputs = make_inputs(folder)
    matrices = {"train": inputs.relevance_train, "validation": inputs.relevance_validation}
    matrices["test"] = sp.csr_matrix((9, 20), dtype=np.float32)
    sizes = {"train": 50, "validation": 6, "test": 9, "label": 20}
    parts = {}
    for part in PARTS:
        kind, _, side = part.partition("_")
        if kind == "items":
            parts[part] = items(sizes[side], side)
        else:
            matrix = matrices[side]
            parts[part] = matrix if kind == "relevance" else sp.csr_matrix(matrix.shape, dtype=np.float32)
    dataset = Dataset(publish(build_dataset(parts, WorkDirectory(folder / "dataset_work")), folder / "dataset"))
    return VariantData.of(PARAMS, dataset, inputs.tokens, None, evaluation=inputs.evaluation, seed=3)


def weights(directory: SealedDirectory) -> dict[str, np.ndarray]:
    """Return the weights of a model or of a state."""
    (file,) = (path for path in directory.path.glob("*.safetensors") if "optimiser" not in path.name)
    return load_file(file)


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Compare weights to floating-point summation."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # centroids are means of a bank in half precision, whose last bits may go either way
        tolerance = 1e-3 if "centroids" in name else 1e-5
        np.testing.assert_allclose(found[name], value, atol=tolerance, rtol=1e-4, err_msg=name)
