"""The combiner of prototypes against golden values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vixml.models.prototype import PrototypeCombiner


def test_prototype_combiner(golden_dir: Path) -> None:
    """The combiner gives the golden prototypes."""
    golden = np.load(golden_dir / "prototype_combiner.npz", allow_pickle=False)
    combiner = PrototypeCombiner(32, num_heads=int(golden["heads"]), feedforward=int(golden["feedforward"])).eval()
    weights = {name.removeprefix("weight."): torch.tensor(golden[name]) for name in golden.files if "weight." in name}
    combiner.layer.load_state_dict(weights)
    inputs = [torch.tensor(golden[name]) for name in ("text", "free_vector", "centroid")]
    with torch.no_grad():
        np.testing.assert_allclose(combiner(*inputs), golden["prototype"], atol=1e-4)
