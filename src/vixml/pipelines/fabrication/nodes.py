"""Node of the `fabrication` pipeline."""

from __future__ import annotations

from vixml.core.directories import Built, WorkDirectory
from vixml.core.workspace import works_in
from vixml.params.data.ingestion import FabricationParams


@works_in("raw_work")
def fabricate_catalogue(params: FabricationParams, seed: int, *, work: WorkDirectory) -> Built:
    """Write the demo catalogue in the benchmark's raw format."""
    from vixml.demo.catalogue import fabricate

    return fabricate(params, seed, work)
