"""Queries and labels of a user's own tables: ids, texts, and where their images are."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vixml.core.errors import DataError
from vixml.data.ids import IdIndex
from vixml.ingestion.ledger import Entry, Guess, Ledger, shorten
from vixml.ingestion.manifests import locate_image
from vixml.ingestion.tables.account import account_table
from vixml.ingestion.tables.cells import one_text
from vixml.ingestion.tables.table import Table
from vixml.params.data.mapping import ItemTableParams

DOWNLOADED = "images/downloaded.csv"
"""What the pipeline `image_download` leaves in the raw folder: columns url, file (relative to the folder)."""


def is_url(name: str) -> bool:
    """Tell whether the name of an image is a URL and no path."""
    return name.lower().startswith(("http://", "https://"))


@dataclass
class Images:
    """Finds the files of images.

    Args:
        root: Raw root.
        most: Images of an item that are kept.
        counts: Counts of what was repaired or left out; added to.
        entry: The ledger's entry of the column that is read.
    """

    root: Path
    most: int
    counts: Counter[str]
    entry: Entry = field(default_factory=lambda: Entry(""))

    def __post_init__(self) -> None:
        self._file_of_url = read_downloaded(self.root)
        self._located: dict[str, str] = {}
        self._absent: set[str] = set()

    def add(self, kept: list[str], names: Iterable[str], *, folder: str, table: Table, row: int) -> None:
        """Append the images of a row to those of its item, paths relative to the root, each once.

        Raises:
            DataError: A path leaves the root.
        """
        for name in names:
            self.entry.held += 1
            if is_url(name):
                path = self._file_of_url.get(name)
                if path is None:
                    self.counts["image_urls_not_downloaded"] += 1
                    self.entry.left_out["address, not downloaded"] += 1
                    continue
            else:
                path = self._path(name, folder, table, row)
            if path in kept:
                self.entry.left_out["listed again"] += 1
            elif len(kept) >= self.most:
                self.counts["images_beyond_limit"] += 1
                self.entry.left_out["beyond data.max_images_per_item"] += 1
            else:
                kept.append(path)
                self.entry.taken += 1

    def _path(self, name: str, folder: str, table: Table, row: int) -> str:
        key = f"{folder}/{name}"
        if key not in self._located:
            path = name.replace("\\", "/")
            if PurePosixPath(path).is_absolute() and Path(path).is_relative_to(self.root.resolve()):
                path = Path(path).relative_to(self.root.resolve()).as_posix()
            elif folder:
                path = f"{folder.rstrip('/')}/{path}"
            inside, present = locate_image(self.root, table, row, path)
            self._located[key] = inside if present else path  # a report names what is missing as the table does
            if not present:
                self.counts["image_files_missing"] += 1
                self._absent.add(self._located[key])
        return self._located[key]

    def note_absent(self) -> None:
        """Write into the entry how many files of its images are not there, and forget them."""
        if self._absent:
            number, example = len(self._absent), shorten(min(self._absent))
            self.entry.notes.append(f"{number:,} of these files do not exist, such as {example}")
        self._absent = set()


def read_downloaded(root: Path) -> dict[str, str]:
    """Return URL -> file of the images that were downloaded into the raw folder; empty where none were.

    Raises:
        DataError: The list is damaged.
    """
    file = root / DOWNLOADED
    if not file.is_file():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return {row["url"]: row["file"] for row in csv.DictReader(stream)}
    except (KeyError, UnicodeDecodeError, csv.Error) as err:
        raise DataError(
            "the list of downloaded images is damaged", file=file, found=err, remedy="run `image_download` again."
        ) from err


def image_folder(folder: Path, names: list[str]) -> str:
    """Return the sub-folder that most images are in, where they are not found as they are written."""
    names = [name.replace("\\", "/").removeprefix("/") for name in names[:200]]
    places = ["", "images", *(p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_dir())]
    hits = {place: sum((folder / place / name).is_file() for name in names) for place in places[:200]}
    best = max(hits, key=hits.__getitem__) if names else ""
    return "" if best == "images" or not hits.get(best) else best


@dataclass
class Items:
    """The different items of one side of the mapping, in order of appearance.

    Args:
        kind: `queries` or `labels`, for the counts.
        row_of: Id -> number of the item.
        texts: Text of each item.
        images: Image paths of each item.
    """

    kind: str
    row_of: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    images: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index = IdIndex(self.row_of)

    def _guess_id(self, entry: Entry, column: str | None, uids: list[str]) -> None:
        example = shorten(", ".join(uids[:3]))
        singular = {"queries": "query", "labels": "label"}[self.kind]
        entry.guesses.append(Guess("id", column or "(the number of the row)", example, f"--{singular}-id COLUMN"))

    def add(self, uid: str, text: str) -> int:
        """Return the number of the item `uid`; a new one gets the text."""
        number = self.row_of.setdefault(uid, len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
            self.images.append([])
        return number

    def read(self, table: Table, params: ItemTableParams, images: Images, ledger: Ledger) -> list[int]:
        """Take in a table; of a repeated id the first text counts, and the images of all its rows.

        Returns:
            The item of each row, -1 where the row has no id.

        Raises:
            DataError: A column is missing, or an image path leaves the root.
        """
        num_rows, entry = len(table), ledger.entry(table.file)
        account_table(entry, table, [name for name in (params.id, *params.text, *params.images) if name])
        uids = [str(len(self.texts) + row) for row in range(num_rows)]
        if params.id is not None:
            uids = table.ids(params.id)
        self._guess_id(entry, params.id, uids)
        text_columns = [table.column(name) for name in params.text]
        image_columns = [list(table.entries(name, params.separators)) for name in params.images]
        before, numbers = len(self.texts), []
        if params.images:
            images.entry = ledger.entry(table.file, "images", of=f"column {', '.join(params.images)}")
        for row, uid in enumerate(uids):
            if not uid:
                numbers.append(-1)
                continue
            text = " ".join(one_text(column[row]) for column in text_columns)
            is_known = uid in self.row_of
            number = self.add(uid, text)
            if is_known:
                entry.move("id again, same text" if text in ("", self.texts[number]) else "id again, other text", 1)
            names = [name for column in image_columns for name in column[row]]
            images.add(self.images[number], names, folder=params.image_folder, table=table, row=row)
            numbers.append(number)
        images.note_absent()
        without = sum(number < 0 for number in numbers)
        entry.move("without id", without)
        images.counts[f"{self.kind}_without_id"] += without
        images.counts[f"repeated_rows_of_{self.kind}"] += num_rows - without - (len(self.texts) - before)
        if not self.texts:
            raise DataError(f"no row has an id, so there are no {self.kind}", file=table.file, found=params.id)
        return numbers
