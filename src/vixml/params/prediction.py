"""Parameters of the prediction of new queries."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from vixml.params.base import Params


def _listed(value: Any) -> Any:
    """Return a single name as a list of one, as `--params prediction.text_columns=title` gives it."""
    return (value,) if isinstance(value, str) else value


Columns: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class PredictionParams(Params):
    """Which queries, which model, how many labels, in which form, and what must not be predicted."""

    queries: str | None = None
    """File of queries: CSV, TSV or JSON lines (also .gz) or Parquet; this path and the others here are relative to the
    project's folder. Needed for a run of `prediction`."""
    name: str = Field("", pattern=r"^[\w.-]*$", max_length=100)
    """Name of the results: `data/07_model_output/<data set>/prediction-NAME`, or `prediction` without one. Runs at the
    same time need names of their own."""
    model: str = Field("encoder_vision", min_length=1)
    """A trained variant, or the folder of a published predictor."""
    k: int = Field(10, ge=1)
    """Labels ranked for each query; the next three settings say which of them are given."""
    min_probability: float | None = Field(None, ge=0, le=1)
    """Only labels that are at least as likely, by the probabilities that validation queries gave the model."""
    min_precision: float | None = Field(None, ge=0, le=1)
    """Only labels at or above the probability that kept this precision on the validation queries (the lower end of its
    interval)."""
    max_labels: int | None = Field(None, ge=1)
    """At most so many of the labels that are left for a query, the first ones; null for all."""
    format: Literal["parquet", "csv", "jsonl"] = "parquet"
    """Form of the predictions' file."""
    escape_formulas: bool = True
    """Whether an id or text of a CSV file that a spreadsheet would calculate (`=...`, `+...`, `-...`, `@...`) gets an
    apostrophe before it."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between two cells of a CSV of queries; null finds it out."""
    encoding: str | None = None
    """Text encoding of a CSV of queries; null is UTF-8 (UTF-16 with its mark), else cp1252."""
    quoting: Literal["csv", "none", "single"] | None = None
    """Whether quote marks at the beginning of a cell are CSV's (`csv`) or part of the text (`none`), or whether
    apostrophes are quote marks (`single`); null finds it out."""
    id_column: str = "id"
    """Column of the queries' ids; a file without it gets the number of the query, from 1."""
    text_columns: Columns = Field(("text",), min_length=1)
    """Columns that make the text, joined by a space; one name or a list."""
    image_columns: Columns = ("images",)
    """Columns of image files, one name or a list; a cell is a list, or names separated by `|` or `;`. A file without
    them has no images."""
    images_root: str | None = None
    """Folder that image files are relative to and must not leave; null is the folder of the queries' file."""
    exclude: str | None = None
    """File of pairs that must not be predicted, columns query_id and label_id."""
    allow: str | None = None
    """File of the only labels that may be predicted: a column label_id, or one id a line (.txt)."""
    deny: str | None = None
    """File of labels that must not be predicted, likewise."""
    exact: bool = False
    """Compare with every label, even where the model's index is an approximate one."""
    block_size: int = Field(2048, ge=1)
    """Queries in memory at once, and what a killed run loses at most."""
    device: str = "auto"
    """`auto` (GPU where there is one), `cpu`, `cuda`, ..."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """fp32: equal scores alone and in any batch. The others are faster on a GPU, and scores depend on the batch."""

    @property
    def folder(self) -> str:
        """Name of the folder of the results."""
        return f"prediction-{self.name}" if self.name else "prediction"
