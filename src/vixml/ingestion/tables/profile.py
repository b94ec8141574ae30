"""What the columns of an unknown table look like: the evidence that a proposed mapping rests on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vixml.data.ids import canonical_id
from vixml.ingestion.tables.cells import Cell, CellError, one_text, split_cell
from vixml.ingestion.tables.items import is_url
from vixml.ingestion.tables.pairs import SPLIT_NAMES, YES_OR_NO
from vixml.ingestion.tables.table import Table

_WORDS = {
    "id": "id uid ids uids key sku asin code nr no num number identifier ref isbn ean gtin",
    "text": "title titel titre titulo text name names description desc content headline caption body sentence question "
    "query term abstract bezeichnung beschreibung nom nombre tag label topic keyword langtext artikelname produktname "
    "artikelbezeichnung produktbezeichnung artikelbeschreibung produktbeschreibung",
    "image": "image images img imgs picture pictures pic pics photo photos foto fotos bild bilder thumbnail",
    "label": "label labels lbl tag tags category categories categorie kategorie kategorien categoria class classes "
    "target targets keyword keywords topic topics subject subjects schlagwort schlagworte",
    "query": "query queries product products produkt produkte item items doc docs document documents article articles "
    "artikel question questions search page pages book books point points",
    "pair": "pair pairs link links relation relations qrel qrels edge edges match matches interaction "
    "interactions truth",
    "weight": "weight weights score scores rel relevance relevant rating confidence count gewicht",
    "title": "title titles titel titre titulo name names headline caption bezeichnung nom nombre artikelname "
    "produktname artikelbezeichnung produktbezeichnung",
    "prose": "text texts description descriptions desc content contents body abstract abstracts beschreibung langtext "
    "artikelbeschreibung produktbeschreibung",
    "form": "html short long full",
    "train": "train trn training",
    "test": "test tst testing",
    "validation": "validation valid val dev",
}
WORDS = {kind: frozenset(words.split()) for kind, words in _WORDS.items()}
"""Words in the names of files and columns, in a few languages."""

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif")
_SAMPLE = 2000
_UNIQUE = 0.95  # share of a column's cells that are different values, where they are ids


def words_of(name: str) -> set[str]:
    """Return the lower-case words of a name, and their singulars: `imgPaths`, `img_paths` and `Img Paths` are one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).lower()))
    return words | {word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s") for word in words}


@dataclass(frozen=True)
class Column:
    """One column of a table and what its cells look like.

    Args:
        name: Its name.
        cells: All its cells.
        is_repeated: Whether the table has several columns of this name.
    """

    name: str
    cells: list[Cell]
    is_repeated: bool = False

    def says(self, kind: str) -> bool:
        """Tell whether the name has a word of this kind."""
        return bool(words_of(self.name) & WORDS[kind])

    @cached_property
    def sample(self) -> list[Cell]:
        """The first cells that are not empty."""
        return [cell for cell in self.cells[:_SAMPLE] if (cell.strip() if isinstance(cell, str) else cell)]

    @cached_property
    def values(self) -> set[str]:
        """All different texts, as ids are compared."""
        return {canonical_id(one_text(cell)) for cell in self.cells} - {""}

    @cached_property
    def is_key(self) -> bool:
        """Whether nearly every cell is filled and no two are the same: a slip in one row hides no ids."""
        return bool(self.cells) and len(self.values) >= _UNIQUE * len(self.cells)

    @cached_property
    def is_number(self) -> bool:
        """Whether all cells are numbers."""
        return bool(self.sample) and all(re.fullmatch(r"\s*-?[\d.,]+([eE]-?\d+)?\s*", one_text(c)) for c in self.sample)

    @cached_property
    def is_weight(self) -> bool:
        """Whether the cells are numbers, or all of them true or false."""
        return self.is_number or (bool(self.sample) and {value.lower() for value in self.values} <= set(YES_OR_NO))

    @cached_property
    def has_numbers(self) -> bool:
        """Whether every sampled cell has a digit in it, as ids often do and words do not."""
        return bool(self.sample) and all(any(map(str.isdigit, one_text(cell))) for cell in self.sample)

    @cached_property
    def is_list(self) -> bool:
        """Whether cells are lists."""
        return any(not isinstance(c, str) or (c.startswith("[") and c.endswith("]")) for c in self.sample)

    @cached_property
    def is_image(self) -> bool:
        """Whether most entries are image files, or URLs in a column that is named like images."""
        entries = self.entries("|;")
        named = self.says("image")
        hits = sum(e.lower().split("?")[0].endswith(_IMAGE_SUFFIXES) or (named and is_url(e)) for e in entries)
        return bool(entries) and hits > len(entries) / 2

    @cached_property
    def is_html(self) -> bool:
        """Whether most cells have tags of a web page."""
        tagged = sum(bool(re.search(r"</[a-z]+[1-6]?>|<br ?/?>", one_text(cell))) for cell in self.sample)
        return tagged > len(self.sample) / 2

    @cached_property
    def is_split(self) -> bool:
        """Whether the cells say at least two of train, validation and test, and nothing else."""
        values = {value.lower() for value in self.values}
        return values <= set(SPLIT_NAMES) and len({SPLIT_NAMES[value] for value in values}) > 1

    @cached_property
    def words_a_cell(self) -> float:
        """Mean number of words."""
        counts = [one_text(cell).count(" ") + 1 for cell in self.sample]
        return sum(counts) / max(1, len(counts))

    def entries(self, separators: str) -> list[str]:
        """Return the entries of the sampled cells."""
        return [entry for cell in self.sample for entry in self.entries_of(cell, separators)]

    def entries_of(self, cell: Cell, separators: str) -> list[str]:
        """Return the entries of one cell; none where it cannot be taken apart."""
        try:
            if self.is_repeated and not isinstance(cell, str):
                return [entry for part in cell for entry in split_cell(part, separators)]
            return split_cell(cell, separators)
        except CellError:
            return []

    def share_within(self, values: Iterable[str], separators: str = "") -> float:
        """Return the share of the sampled entries that are among `values`; a cell may be one of them as a whole."""
        known = values if isinstance(values, set) else set(values)
        hits = count = 0
        for cell in self.sample:
            is_one = canonical_id(one_text(cell)) in known
            entries = [one_text(cell)] if is_one else self.entries_of(cell, separators)
            hits += is_one or sum(canonical_id(entry) in known for entry in entries)
            count += len(entries)
        return hits / count if count else 0.0


@dataclass(frozen=True)
class Profile:
    """A table and its columns.

    Args:
        name: File, relative to the folder.
        columns: Its columns in order.
        odd: Columns that hold what is no text, and what it is.
    """

    name: str
    columns: dict[str, Column]
    odd: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, table: Table) -> Profile:
        """Profile a table."""
        usable = {n: cells for n, cells in table.columns.items() if n not in table.odd}
        columns = {n: Column(n, cells, n in table.repeated) for n, cells in usable.items()}
        return cls(name, columns, {n: why for n, (_, why) in table.odd.items()})

    def says(self, kind: str) -> bool:
        """Tell whether the name of the file or its folder has a word of this kind."""
        path = Path(self.name)
        return bool(words_of(f"{path.parent.as_posix()} {path.name.split('.')[0]}") & WORDS[kind])

    @property
    def keys(self) -> list[Column]:
        """The columns that could be ids: unique, and neither images nor lists."""
        return [column for column in self.columns.values() if column.is_key and not (column.is_image or column.is_list)]

    def best_id(self) -> str | None:
        """Return the column that looks most like an id, or None."""
        scores = {
            name: 2 * column.says("id") + 1.5 * column.is_key + (column.words_a_cell < 1.05)
            for name, column in self.columns.items()
            if not (
                column.is_image or column.is_list or column.is_split or (column.says("text") and not column.says("id"))
            )
        }
        name = max(scores, key=scores.__getitem__, default=None)
        return name if name is not None and scores[name] >= 2.5 else None

    def best_text(self, without: Iterable[str] = ()) -> str | None:
        """Return the column that looks most like the item's text, or None."""
        scores = {
            name: 2 * column.says("text")
            + min(2.0, column.words_a_cell / 4)
            - column.says("id")
            - column.says("label") / 2
            for name, column in self.columns.items()
            if not (name in without or column.is_image or column.is_split or column.is_number)
            and (not column.is_list or column.is_repeated)
        }
        return max(scores, key=scores.__getitem__, default=None)

    def texts(self, kind: str, without: Iterable[str] = ()) -> list[str]:
        """Return the columns of the item's text: the best one, with the title before it or the prose after it.

        The second one must be named as of the item itself (`kind` is query or label): `Product Name` or
        `Description (HTML)`, not `Brand Name`.
        """
        best = self.best_text(without)
        if best is None:
            return []

        def is_named(name: str, what: str) -> bool:
            return bool(words_of(name) & WORDS[what]) and words_of(name) <= WORDS[what] | WORDS[kind] | WORDS["form"]

        def is_free(column: Column) -> bool:
            is_other = column.name in (best, *without) or column.is_image or column.is_split or column.is_list
            return bool(column.sample) and not (is_other or column.is_number)

        other = "title" if is_named(best, "prose") else "prose" if is_named(best, "title") else None
        seconds = [n for n, column in self.columns.items() if other and is_named(n, other) and is_free(column)][:1]
        return [*seconds, best] if other == "title" else [best, *seconds]

    def images(self) -> list[str]:
        """Return the columns that hold images."""
        return [name for name, column in self.columns.items() if column.is_image]
