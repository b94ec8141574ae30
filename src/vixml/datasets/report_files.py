"""Kedro's tables and figures, written atomically: a run that is killed or out of space leaves the older file whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.plotly import JSONDataset

from vixml.core.directories import atomic_file
from vixml.core.guards.spreadsheet import escape_frame


class CSVTableDataset(CSVDataset):
    """`pandas.CSVDataset` on a local disk, written atomically; no text is a formula to a spreadsheet."""

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        with atomic_file(Path(str(self._filepath))) as temporary:
            escape_frame(data).to_csv(temporary, **self._save_args)


class FigureDataset(JSONDataset):
    """`plotly.JSONDataset` on a local disk, written atomically."""

    def save(self, data: Any) -> None:
        """Write the figure."""
        with atomic_file(Path(str(self._filepath))) as temporary:
            data.write_json(str(temporary), **self._save_args)
