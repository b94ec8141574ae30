"""Nodes read only the settings that count for them."""

import pytest
from kedro.pipeline.node import Node

from vixml.data.dataset import Dataset
from vixml.freshness.reads import PARTS, READS
from vixml.params.base import Params
from vixml.params.speed import SPEED_ONLY

PIPELINES = ("fabrication", "ingestion", "image_embedding", "encoder_vision")

EXEMPT = {("EvaluationParams", "ks")}  # read by a training, but on purpose no reason to train again


# Mining makes an index of its own after `batching.mining_index`, not after the variant's `retrieval`.
MINING = {name: {("RetrievalParams", "kind")} for name in ("refresh_hard_negatives", "train_hard")}


def allowed(model, include):
    """Return (section, field) of everything that `include` lets count, and of what only changes the speed."""
    fields = model.model_fields if include is None else include
    found = {(model.__name__, name) for name in [*fields, *SPEED_ONLY.get(model, {})]}
    below = fields if isinstance(fields, dict) and include is not None else dict.fromkeys(fields)
    for name, inner in below.items():
        kind = model.model_fields[name].annotation
        for part in [kind, *getattr(kind, "__args__", ())]:
            if isinstance(part, type) and issubclass(part, Params):
                found |= allowed(part, None if inner in (None, True) else inner)
    speed = SPEED_ONLY.get(model, {})
    for name, inner in speed.items():
        if inner is not True:
            found |= {(model.model_fields[name].annotation.__name__, field) for field in inner}
    return found


@pytest.mark.e2e
def test_nodes_read_only_what_counts_for_them(kedro_run, tiny, monkeypatch):
    """What a node reads of its settings or the data, but that does not count, would leave a wrong result fresh."""
    seen: dict[str, set[tuple[str, str]]] = {}
    parts: dict[str, set[str]] = {}
    running = []
    real = Params.__getattribute__

    def watched(self, name):
        if running and name in type(self).model_fields:
            seen[running[-1]].add((type(self).__name__, name))
        return real(self, name)

    real_run = Node.run

    def run(self, inputs=None):
        running.append(self.func.__name__)
        seen.setdefault(running[-1], set())
        try:
            return real_run(self, inputs)
        finally:
            running.pop()

    real_file = Dataset.file

    def file(self, part):
        if running:
            parts.setdefault(running[-1], set()).add(part)
        return real_file(self, part)

    monkeypatch.setattr(Node, "run", run)
    monkeypatch.setattr(Dataset, "file", file)
    monkeypatch.setattr(Params, "__getattribute__", watched)
    kedro_run(*PIPELINES, params=tiny)
    assert set(READS) <= set(seen)
    for name, sections in READS.items():
        may = set().union(*(allowed(model, include) for model, include in sections.items())) | EXEMPT
        assert seen[name], name
        assert seen[name] - MINING.get(name, set()) <= may, name
    counted = {name: read for name, read in parts.items() if name != "gather_evidence"}  # of it all of the data counts
    assert counted == {name: read["dataset"] for name, read in PARTS.items() if name in seen}
