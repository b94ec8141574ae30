"""Node of the `image_download` pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from vixml.core.directories import WorkDirectory
from vixml.core.workspace import works_in
from vixml.params.data.download import DownloadParams
from vixml.params.data.ingestion import DataParams


@works_in("download_work")
def fetch_images(
    raw: Path, data: DataParams, params: DownloadParams, *, work: WorkDirectory
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fetch the images that the raw files name by URL into the raw folder; return the report and the dead links."""
    from vixml.ingestion.download import download_images

    found = download_images(raw, data, params, work)
    return found.report, found.failures
