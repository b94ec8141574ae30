"""The learning curve of a training."""

from __future__ import annotations

import json

from kedro_datasets._typing import PlotlyPreview

from vixml.datasets.document import JSONLinesDataset


class CurveDataset(JSONLinesDataset):
    """A learning curve as JSON lines, which Kedro-Viz shows as a figure.

    Args:
        filepath: The `.jsonl` file.
        metadata: Kept for Kedro-Viz.
    """

    def preview(self) -> PlotlyPreview:  # type: ignore[override]
        """Return the figure."""
        from vixml.reporting.figures import learning_curves

        return PlotlyPreview(json.loads(learning_curves(self.load(), title="Learning curve").to_json()))
