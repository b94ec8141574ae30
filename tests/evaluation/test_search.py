"""The search of an evaluation: divided among ranks, the same rankings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.distributed.threads import in_threads
from tests.evaluation.worlds import make_dataset, make_world, published, run

from vixml.distributed.launch import Machines
from vixml.evaluation import search
from vixml.evaluation.search import Sources
from vixml.params.variant import VariantParams

PRIOR = {"imageless_prior": 0.2}


def test_ranks_search_for_a_share_of_the_queries_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the plain ranking beside the one with a prior; few queries are searched for by one process."""
    divided = []

    def in_ranks(function: str, given: dict[str, Any], *, folder: Path, machines: Machines) -> Any:
        assert (function, machines) == ("vixml.evaluation.search:search_share", Machines(3))
        divided.append(folder.name)
        return in_threads(monkeypatch, 3, lambda: search.search_share(**given))[0]

    monkeypatch.setattr(search, "run_in_ranks", in_ranks)
    settings = {"model": {"use_images": True}, "training": {"device": "cpu", "processes": 3}}
    expected, alone = run(make_world(), tmp_path / "a", PRIOR, **settings)
    assert not divided
    monkeypatch.setattr(search, "WORTH", 60 * 40)
    found, together = run(make_world(), tmp_path / "b", PRIOR, **settings)
    assert divided == ["search.ranks"]
    for document in (expected, found):
        del document["milliseconds_per_search"]
    assert found == expected
    assert "metrics_plain" in found
    for name in ("labels", "scores"):
        np.testing.assert_array_equal(np.load(together.path / f"{name}.npy"), np.load(alone.path / f"{name}.npy"))


def test_a_rank_describes_its_own_queries(tmp_path: Path) -> None:
    sides, _, _ = make_world()
    relevance = {name: side[1] for name, side in sides.items()}
    items = {
        name: pd.DataFrame({"text": [f"{name} {row}" for row in range(m.shape[0])], "images": [[]] * m.shape[0]})
        for name, m in relevance.items()
    }
    embeddings = published(make_world(), tmp_path)
    params = VariantParams.model_validate({"retrieval": {"augmentation": {"mode": "evidence"}}})
    sources = Sources(params, make_dataset(tmp_path, relevance, items), embeddings, embeddings, evidence=embeddings)
    found = sources.described(slice(20, 40))
    assert found is not None
    assert found.texts == [f"test {row}" for row in range(20, 40)]
    np.testing.assert_array_equal(found.vectors, sides["test"][0][20:40])
