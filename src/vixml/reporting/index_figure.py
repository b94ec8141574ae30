"""Recall against speed of label indexes. Values are plain lists: Kedro-Viz does not read plotly's packed arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


def recall_and_speed(table: pd.DataFrame) -> Figure:
    """Draw every index as a point: milliseconds a query, recall at the greatest depth, area by size.

    Args:
        table: Rows of `vixml.retrieval.report.index_report`.
    """
    import plotly.graph_objects as go

    depth = max((name for name in table.columns if name.startswith("recall@")), key=lambda name: int(name[7:]))
    largest = max(1, int(table["bytes"].max()))
    figure = go.Figure(
        go.Scatter(
            x=table["milliseconds_per_query"].tolist(),
            y=table[depth].tolist(),
            text=table["index"].tolist(),
            mode="markers+text",
            textposition="top center",
            marker={"size": [12 + 28 * (size / largest) ** 0.5 for size in table["bytes"].tolist()], "opacity": 0.7},
            customdata=[[f"{size / 1e6:.1f} MB"] for size in table["bytes"].tolist()],
            hovertemplate="%{text}<br>%{x:.3f} ms a query, " + depth + " %{y:.3f}, %{customdata[0]}<extra></extra>",
        )
    )
    figure.update_layout(
        title=f"Label indexes: {depth} against exact search, and speed (area: size)",
        xaxis={"title": "milliseconds a query", "type": "log"},
        yaxis={"title": depth},
        template="plotly_white",
    )
    return figure
