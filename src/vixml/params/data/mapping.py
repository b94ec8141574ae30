"""Which columns of a user's own tables are what (`data.mapping`); `vixml init-data` proposes and writes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vixml.params.base import Params


class TableParams(Params):
    """One table: CSV or TSV with any delimiter, Parquet, or JSON lines; text formats may be gzipped."""

    file: str = Field(min_length=1)
    """File, relative to `data_root`; a pattern such as `train-*.parquet` if the table is split into several files."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between two cells of a CSV; null detects it."""
    encoding: str | None = None
    """Text encoding of a CSV, for instance `cp1252`; null tries UTF-8 (UTF-16 with a byte order mark), then cp1252."""
    quoting: Literal["csv", "none", "single"] | None = None
    """`csv`: a cell that begins with a quote mark ends at the next single one; `none`: quote marks are part of the
    text; `single`: apostrophes are the quote marks; null detects it from the whole file."""


class ItemTableParams(TableParams):
    """A table with one item per row; further rows with the same id belong to the same item."""

    id: str | None = None
    """Column of the item's id, kept as text; null numbers the rows from 0."""
    text: list[str] = Field(min_length=1)
    """Columns of the text, joined by a space."""
    images: list[str] = Field([])
    """Columns of image paths, relative to `data_root`, or of URLs for the pipeline `image_download`; optional."""
    image_folder: str = ""
    """Folder that the image paths are relative to, itself relative to `data_root`."""
    separators: str = "|;"
    """Characters that separate several image paths in one cell. A JSON list is always read as a list."""


class QueryTableParams(ItemTableParams):
    """The table of queries; with `labels` it also contains the pairs."""

    test_file: str | None = None
    """Second table with the same columns that holds the test queries (`split.by: file`)."""
    validation_file: str | None = None
    """Third table with the same columns that holds the validation queries; requires `test_file`."""
    labels: str | list[str] | None = None
    """Column that lists the labels of a query, or a list of several, which are read together; null if `pairs` names a
    table of pairs."""
    label_separators: str | list[str] = "|"
    """Characters that separate several labels in one cell of `labels`; of several columns, a text for all of them or a
    list with one text each. A JSON list is always read as a list."""

    @model_validator(mode="after")
    def _separators_fit(self) -> QueryTableParams:
        columns = [self.labels] if isinstance(self.labels, str) else self.labels or []
        if len(set(columns)) < len(columns) or self.labels == []:
            raise ValueError("`labels` names each column once, and at least one")
        if isinstance(self.label_separators, list) and len(self.label_separators) != len(columns):
            raise ValueError(
                f"`label_separators` has {len(self.label_separators)} entries and `labels` {len(columns)} columns: "
                "give one text for all of them, or one for each"
            )
        return self

    @property
    def lists_of_labels(self) -> dict[str, str]:
        """Return column -> separators of the columns that list labels; empty where there is a table of pairs."""
        columns = [self.labels] if isinstance(self.labels, str) else self.labels or []
        signs = self.label_separators
        return dict(zip(columns, [signs] * len(columns) if isinstance(signs, str) else signs, strict=True))


class PairTableParams(TableParams):
    """A table with one relevant pair per row."""

    query: str
    """Column of the query's id."""
    label: str
    """Column of the label's id."""
    weight: str | None = None
    """Column of the relevance, a number of at least 0; null gives every pair 1."""
    test_file: str | None = None
    """Second table with the same columns that holds the test pairs. With `split.by: file` and no `queries.test_file`,
    the queries of these pairs are the test."""
    validation_file: str | None = None
    """Third table with the same columns that holds the validation pairs; requires `test_file`."""


class SplitParams(Params):
    """How queries are split into training and test."""

    by: Literal["hash", "column", "last", "file"] = "hash"
    """Which queries are the test: `hash`: a stable share of the ids; `column`: as a column says; `last`: the last rows;
    `file`: the queries of `queries.test_file`, or those of the pairs in `pairs.test_file`."""
    column: str | None = None
    """Column of the query table, otherwise of the pair table, with train, validation or test (or their usual short
    forms). If it is in the pair table, a query may be on both sides: its training pairs are then excluded from its
    test."""
    test_fraction: float = Field(0.2, gt=0.0, lt=1.0)
    """Share of the queries that `hash` and `last` hold out for the test, above 0 and below 1."""

    @model_validator(mode="after")
    def _column_is_named(self) -> SplitParams:
        if (self.by == "column") != (self.column is not None):
            raise ValueError("`split.column` goes with `split.by: column`, and only with it")
        return self


class MappingParams(Params):
    """A user's own tables: queries, labels, and which belong together."""

    queries: QueryTableParams
    """The queries (products, documents, ...)."""
    labels: ItemTableParams | None = None
    """The labels; null where they are only named by the pairs: the name is then id and text."""
    pairs: PairTableParams | None = None
    """The relevant pairs; null where `queries.labels` lists them."""
    split: SplitParams = SplitParams()
    """How queries are split into training and test."""

    @model_validator(mode="after")
    def _fits_together(self) -> MappingParams:
        if (self.pairs is None) == (self.queries.labels is None):
            raise ValueError("name the pairs once: either the table `pairs` or the column `queries.labels`")
        tables = (self.queries, *((self.pairs,) if self.pairs else ()))
        if (self.split.by == "file") != any(table.test_file for table in tables):
            raise ValueError("`test_file` (of `queries` or `pairs`) goes with `split.by: file`, and only with it")
        if any(table.validation_file and not table.test_file for table in tables):
            raise ValueError("`validation_file` goes with `test_file` of the same table")
        if self.pairs is not None and self.queries.id is None:
            raise ValueError("the table `pairs` needs `queries.id`")
        if self.labels is not None and self.labels.id is None:
            raise ValueError("`labels.id` is needed: the pairs name labels by it")
        return self

    @property
    def files(self) -> list[str]:
        """Return the names of all files of the mapping, each once."""
        tables = (self.queries, self.labels, self.pairs)
        names = [name for table in tables if table is not None for name in files_by_side(table).values()]
        return list(dict.fromkeys(names))


def files_by_side(table: TableParams) -> dict[str, str]:
    """Return side -> file of a table: that of the training side, which may hold all sides, and those of the others."""
    named = {
        "train": table.file,
        "validation": getattr(table, "validation_file", None),
        "test": getattr(table, "test_file", None),
    }
    return {side: name for side, name in named.items() if name is not None}
