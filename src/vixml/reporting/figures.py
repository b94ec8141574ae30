"""Plotly figures. Values are plain lists: Kedro-Viz does not read plotly's packed arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

_LAYOUT = {"template": "plotly_white", "margin": {"l": 60, "r": 20, "t": 50, "b": 50}}
_POINTS = 2_000  # no figure needs more


def learning_curves(records: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """Draw every series of a learning curve over the epochs; losses on the left axis, metrics on the right.

    Args:
        records: Objects with `step`, `epoch` and named values, in order.
        title: Title of the figure.
    """
    import plotly.graph_objects as go

    names = dict.fromkeys(key for record in records for key in record if key not in ("step", "epoch"))
    figure = go.Figure()
    for name in names:
        points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
        thinned = points[:: max(1, len(points) // _POINTS)]
        is_metric = "@" in name
        figure.add_scatter(
            x=[step for step, _ in thinned],
            y=[value for _, value in thinned],
            mode="lines+markers" if is_metric else "lines",
            name=name,
            yaxis="y2" if is_metric else "y",
            visible=True if is_metric or "loss" in name else "legendonly",
        )
    figure.update_layout(
        title=title,
        xaxis={"title": "step"},
        yaxis={"title": "loss"},
        yaxis2={"title": "metric", "overlaying": "y", "side": "right"},
        **_LAYOUT,
    )
    return figure


def comparison(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw the metrics of the comparison table as grouped bars, baselines paler."""
    import plotly.graph_objects as go

    from vixml.reporting.table import METRICS

    names = [name for name in METRICS if name in table]
    figure = go.Figure()
    for row in table.to_dict("records"):
        values = [None if row[name] != row[name] else float(row[name]) for name in names]
        figure.add_bar(x=names, y=values, name=row["model"], opacity=0.5 if row["kind"] == "baseline" else 1.0)
    figure.update_layout(title=title, barmode="group", yaxis={"title": "percent"}, **_LAYOUT)
    return figure
