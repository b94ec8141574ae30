"""Parameters of the prediction of new queries."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from vixml.params.base import Params, Processes


def _listed(value: Any) -> Any:
    """Return a single name as a list of one, as `--params prediction.text_columns=title` gives it."""
    return (value,) if isinstance(value, str) else value


Columns: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class PredictionParams(Params):
    """Queries, model, number of labels, output format, and labels that must not be predicted."""

    queries: str | None = None
    """File of queries: CSV, TSV or JSON lines (also .gz) or Parquet. This path and the others in this section are
    relative to the project's folder. Required by the pipeline `prediction`."""
    name: str = Field("", pattern=r"^[\w.-]*$", max_length=100)
    """Name of the results: `data/07_model_output/<data set>/prediction-NAME`, or `prediction` without a name.
    Predictions that run at the same time need different names."""
    model: str = Field("encoder_vision", min_length=1)
    """A trained variant, or the folder of a published predictor."""
    k: int = Field(10, ge=1)
    """Number of labels ranked per query; the next three settings filter them."""
    min_probability: float | None = Field(None, ge=0, le=1)
    """Only labels with at least this probability, as calibrated on validation queries."""
    min_precision: float | None = Field(None, ge=0, le=1)
    """Only labels above the probability threshold that kept this precision (the lower end of its interval) on the
    validation queries."""
    max_labels: int | None = Field(None, ge=1)
    """Maximum number of remaining labels per query, best first; null for all."""
    format: Literal["parquet", "csv", "jsonl"] = "parquet"
    """Format of the file of predictions."""
    escape_formulas: bool = True
    """Whether an id or text in a CSV file that a spreadsheet would run as a formula (`=...`, `+...`, `-...`, `@...`)
    gets a leading apostrophe."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between two cells of a CSV of queries; null detects it."""
    encoding: str | None = None
    """Text encoding of a CSV of queries; null tries UTF-8 (UTF-16 with a byte order mark), then cp1252."""
    quoting: Literal["csv", "none", "single"] | None = None
    """Whether quote marks at the beginning of a cell are CSV quoting (`csv`) or part of the text (`none`), or whether
    apostrophes are the quote marks (`single`); null detects it."""
    id_column: str = "id"
    """Column of the queries' ids; if the file lacks it, queries are numbered from 1."""
    text_columns: Columns = Field(("text",), min_length=1)
    """Columns that form the text, joined by a space; one name or a list."""
    image_columns: Columns = ("images",)
    """Columns of image files, one name or a list; a cell is a list, or names separated by `|` or `;`. A file without
    them has no images."""
    images_root: str | None = None
    """Folder that image files are relative to and must be inside. Images that it lacks are looked for beside the
    queries' file, and there in a folder of the same name. null: only beside that file."""
    exclude: str | None = None
    """File of pairs that must not be predicted, columns query_id and label_id."""
    allow: str | None = None
    """File of the only labels that may be predicted: a column label_id, or one id per line (.txt)."""
    deny: str | None = None
    """File of labels that must not be predicted, in the same formats."""
    exact: bool = False
    """Compare with every label, even if the model's index is approximate."""
    block_size: int = Field(2048, ge=1)
    """Queries in memory at the same time, and the most that a killed run loses."""
    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda`, ..."""
    processes: Processes = 1
    """Processes on this machine that each predict a share of the blocks, one GPU each; `auto` is one for each GPU."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """With fp32, a query gets the same scores alone and in any batch. The others are faster on a GPU, but scores depend
    on the batch."""

    @property
    def folder(self) -> str:
        """Name of the folder of the results."""
        return f"prediction-{self.name}" if self.name else "prediction"
