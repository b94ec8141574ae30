"""One variant of seconds, for tests that run it again and again."""

from copy import deepcopy

import pytest

TINY = {
    "fabrication": {"num_train": 80, "num_test": 30, "num_labels": 30, "image_pixels": 16},
    "data": {"validation_fraction": 0.1},
    "vision": {"tiny_image_size": 32},
    "evaluation": {"ks": [1, 5], "top_k": 10},
    "encoder": {
        "backbone": {"tiny": {"hidden_size": 32, "num_heads": 2, "num_layers": 1, "intermediate_size": 32}},
        "model": {"prototype": {"num_heads": 2, "feedforward": 32, "free_vectors": 16}},
        "batching": {"batch_size": 32, "start_epoch": 1, "update_every": 1, "cluster_size": 4, "double_at": [2]},
        "training": {"epochs": 2, "checkpoint_every": 1, "validate_every": 2},
    },
}


@pytest.fixture
def tiny():
    """Parameters of a run of seconds; the test may change them."""
    return deepcopy(TINY)
