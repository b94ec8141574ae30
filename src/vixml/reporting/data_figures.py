"""Figures of the ingested data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vixml.metrics.propensity import label_frequencies

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from scipy.sparse import csr_matrix

_MOST_POINTS = 400


def label_frequency_figure(relevance_train: csr_matrix) -> Figure:
    """Plot the training points of each label against its rank, both on logarithmic axes: the long tail at a glance.

    Args:
        relevance_train: Ground truth (points, labels).

    Returns:
        A plotly figure of at most 400 points, however many labels there are; labels without a point are in its title.
    """
    import plotly.graph_objects as go

    frequency = np.sort(label_frequencies(relevance_train))[::-1]
    seen = int((frequency > 0).sum())
    ranks = np.unique(np.geomspace(1, max(seen, 1), _MOST_POINTS).round().astype(np.int64))
    ranks = ranks[ranks <= seen]
    figure = go.Figure(go.Scatter(x=ranks.tolist(), y=frequency[ranks - 1].tolist(), mode="lines+markers"))
    figure.update_traces(marker_size=4, hovertemplate="rank %{x}: %{y} training points<extra></extra>")
    figure.update_layout(
        title=f"Label frequency: {len(frequency):,} labels, {len(frequency) - seen:,} of them without a training point",
        xaxis={"title": "rank of the label", "type": "log"},
        yaxis={"title": "training points", "type": "log"},
        template="plotly_white",
    )
    return figure
