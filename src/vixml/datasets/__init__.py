"""Kedro data sets: whole directories behind seals, raw folders, small documents.

Constructors do no input or output and import nothing heavy: Kedro's plugins materialise the catalogue at start-up.
"""

from vixml.datasets.curve import CurveDataset
from vixml.datasets.document import JSONDocumentDataset, JSONLinesDataset
from vixml.datasets.ingested import IngestedDataset
from vixml.datasets.picture import PictureDataset
from vixml.datasets.raw_folder import RawFolderDataset
from vixml.datasets.run_archive import RunArchiveDataset
from vixml.datasets.sealed_directory import SealedDirectoryDataset
from vixml.datasets.text import PageDataset, TextFileDataset
from vixml.datasets.work_directory import WorkDirectoryDataset

__all__ = [
    "CurveDataset",
    "IngestedDataset",
    "JSONDocumentDataset",
    "JSONLinesDataset",
    "PageDataset",
    "PictureDataset",
    "RawFolderDataset",
    "RunArchiveDataset",
    "SealedDirectoryDataset",
    "TextFileDataset",
    "WorkDirectoryDataset",
]
