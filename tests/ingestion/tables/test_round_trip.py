"""Property: what pandas, polars, the csv module or pyarrow write is read back equal by every reader, or is an error.

Never silently less. VIXML_FUZZ_EXAMPLES=5000 looks further, at random.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from vixml.core.errors import VixmlError
from vixml.data.ids import canonical_id
from vixml.ingestion.ingest import ingest
from vixml.ingestion.tables.files import read_blocks, read_table
from vixml.params.data.ingestion import DataParams
from vixml.params.data.mapping import MappingParams
from vixml.serving.filters import read_label_list
from vixml.serving.query_files import query_blocks

try:
    import polars
except ImportError:
    polars = None

EXAMPLES = int(os.environ.get("VIXML_FUZZ_EXAMPLES", "0"))
fuzz = settings(
    max_examples=EXAMPLES or 120,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

CHARACTERS = st.characters(codec="cp1252", exclude_characters="\0")
TEXTS = st.text(CHARACTERS, max_size=12) | st.sampled_from(
    [
        '"Best buy',
        '"Nice" hat',
        '6" pipe',
        "a, b; c|d\te",
        "first\nsecond",
        "a\r\nb",
        "a\rb",
        '""',
        "[x]",
        "NaN",
        "null",
    ]
)
LABELS = st.text(CHARACTERS, min_size=1, max_size=8).map(str.strip).filter(lambda text: text not in ("", "None", "nan"))


def no_nothing(labels: list[str]) -> list[str]:
    """Return labels that no program prints as it prints the absence of one."""
    return [label for label in labels if label not in ("NaN", "NaT", "<NA>", "null", "NULL", "NA")]


IDS: dict[str, tuple[Any, Any]] = {
    "text": (
        st.text(st.characters(codec="cp1252", categories=("L", "N", "P")), min_size=1, max_size=6).filter(
            lambda uid: uid == uid.strip() and uid[:1] != "'"
        ),
        str,
    ),
    "int": (st.integers(-(2**62), 2**62), int),
    "float": (st.integers(0, 2**50), float),
    "decimal": (st.integers(0, 10**9), lambda number: Decimal(number).quantize(Decimal("1.00"))),
    "bytes": (st.text(st.characters(codec="cp1252", categories=("L",)), min_size=1, max_size=6), str.encode),
}


@dataclass(frozen=True)
class Rows:
    """What is written: ids as values of some type and as texts, texts, lists of labels."""

    kind: str
    values: list[Any]
    ids: list[str]
    texts: list[str]
    tags: list[list[str]]

    def frame(self, tags: Any) -> pd.DataFrame:
        return pd.DataFrame({"id": self.values, "text": self.texts, "tags": [tags(row) for row in self.tags]})


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    kind = draw(st.sampled_from(sorted(IDS)))
    strategy, make = IDS[kind]
    drawn = draw(st.lists(strategy, min_size=1, max_size=6, unique_by=lambda value: canonical_id(str(value))))
    count = len(drawn)
    return Rows(
        kind,
        [make(value) for value in drawn],
        [str(value) for value in drawn],
        draw(st.lists(TEXTS, min_size=count, max_size=count)),
        [no_nothing(row) for row in draw(st.lists(st.lists(LABELS, max_size=4), min_size=count, max_size=count))],
    )


PRINTED = {
    "json": json.dumps,
    "python": str,
    "tuple": lambda row: str(tuple(row)),
    "numpy": lambda row: str(np.array(row)),
}
NATIVE = ("pandas.parquet", "pyarrow.parquet", "polars.parquet", "lines.jsonl", "list.json")
PRINTING = ("pandas.csv", "module.csv", "pyarrow.csv", "polars.csv")


def write(draw: st.DrawFn, found: Rows, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Write rows in some way; return the file and what a user would have to say of it."""
    names = [name for name in (*NATIVE, *PRINTING) if polars is not None or not name.startswith("polars")]
    name = draw(st.sampled_from(names))
    if name in NATIVE:
        return write_native(found, folder / name), {}
    assume(found.kind != "bytes")  # which no CSV can hold
    tags = PRINTED[draw(st.sampled_from(sorted(PRINTED)))]
    if tags is PRINTED["numpy"]:
        assume(all(found.tags))
    frame, file = found.frame(tags), folder / name
    sign = draw(st.sampled_from(",;|\t"))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    how = {"encoding": encoding} if encoding == "cp1252" else {}
    if name == "pandas.csv":
        end = draw(st.sampled_from(["\n", "\r\n"]))
        quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
        text = frame.to_csv(index=draw(st.booleans()), sep=sign, lineterminator=end, quoting=quoting).encode(encoding)
    elif name == "module.csv":
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, delimiter=sign, quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])))
        writer.writerows([frame.columns, *frame.itertuples(index=False)])
        text = stream.getvalue().encode(encoding)
    elif name == "polars.csv":
        text, how = polars.DataFrame(frame.to_dict("list")).write_csv(separator=sign).encode(), {}
    else:
        buffer = io.BytesIO()
        options = pa_csv.WriteOptions(delimiter=sign)
        pa_csv.write_csv(pa.table(frame.to_dict("list")), buffer, options)
        text, how = buffer.getvalue(), {}
    if draw(st.booleans()):
        file, text = file.with_name(f"{name}.gz"), gzip.compress(text, mtime=0)
    file.write_bytes(text)
    return file, how


def write_native(found: Rows, file: Path) -> Path:
    frame = found.frame(list)
    if file.name == "pandas.parquet":
        frame.to_parquet(file)
    elif file.name == "polars.parquet":
        polars.DataFrame(frame.to_dict("list")).write_parquet(file)
    elif file.name == "pyarrow.parquet":
        tags = pa.array(found.tags, pa.large_list(pa.large_string()))
        pq.write_table(pa.table({"id": found.values, "text": found.texts, "tags": tags}), file, row_group_size=2)
    else:
        assume(found.kind not in ("bytes", "decimal"))  # which JSON does not have
        records = frame.to_dict("records")
        lines = "\n".join(map(json.dumps, records)) if file.suffix == ".jsonl" else json.dumps(records, indent=1)
        file.write_text(lines + "\n", encoding="utf-8")
    return file


def stripped(found: Rows) -> list[list[str]]:
    return [[label.strip() for label in row if label.strip()] for row in found.tags]


@fuzz
@given(data=st.data(), found=rows())
def test_every_reader_reads_back_what_was_written(tmp_path: Path, data: st.DataObject, found: Rows) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    file, how = write(data.draw, found, tmp_path)
    try:
        table = read_table(file, **how)
        blocks = list(read_blocks(file, 2, **how))
        queries = list(query_blocks(file, 2, **how))
        lists = list(table.entries("tags", ""))
    except VixmlError as err:
        event(f"refused: {err.what[:60]}")
        return  # a clear error is right, too
    ids = [canonical_id(uid) for uid in found.ids]
    assert [canonical_id(uid) for uid in table.ids("id")] == ids
    assert table.columns["text"] == found.texts
    assert [cell for block in blocks for cell in block.columns["text"]] == found.texts
    assert [canonical_id(uid) for block in queries for uid in block.ids] == ids
    assert [text for block in queries for text in block.texts] == found.texts
    assert lists == stripped(found)


@fuzz
@given(data=st.data(), found=rows())
def test_ingestion_takes_every_query_and_label(tmp_path: Path, data: st.DataObject, found: Rows) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    assume(len(found.ids) > 1 and any(map(any, stripped(found))))
    file, how = write(data.draw, found, tmp_path)
    queries = {"file": file.name, "id": "id", "text": ["text"], "labels": "tags", "label_separators": "", **how}
    mapping = MappingParams.model_validate({"queries": queries, "split": {"by": "last", "test_fraction": 0.5}})
    try:
        taken = ingest(tmp_path, DataParams(mapping=mapping, validation_fraction=0.0, max_lost=0.0), 0)
    except VixmlError as err:
        event(f"refused: {err.what[:60]}")
        return
    uids = [*taken.items_train["uid"], *taken.items_test["uid"]]
    assert [canonical_id(uid) for uid in uids] == [canonical_id(uid) for uid in found.ids]
    assert taken.items_label["uid"].tolist() == list(dict.fromkeys(label for row in stripped(found) for label in row))
    pairs = taken.relevance_train.nnz + taken.relevance_test.nnz
    assert pairs == sum(len(set(row)) for row in stripped(found))


@fuzz
@given(data=st.data(), found=rows(), kinds=st.tuples(st.sampled_from(sorted(IDS)), st.sampled_from(sorted(IDS))))
def test_ids_of_two_files_meet_whatever_types_they_have(
    tmp_path: Path, data: st.DataObject, found: Rows, kinds: tuple[str, str]
) -> None:
    """Numbers as texts, whole numbers, floats, decimals and bytes, in any two formats, are the same ids."""
    del found
    for old in tmp_path.iterdir():
        old.unlink()
    numbers = data.draw(st.lists(st.integers(0, 10**9), min_size=2, max_size=6, unique=True))
    make = {"text": str, "int": int, "float": float, "decimal": IDS["decimal"][1], "bytes": lambda n: str(n).encode()}
    files = []
    for name, kind, column in (("q", kinds[0], "id"), ("p", kinds[1], "query")):
        values = [make[kind](number) for number in numbers]
        frame = pd.DataFrame({column: values, "text": ["t"] * len(values), "label": ["a"] * len(values)})
        end = data.draw(st.sampled_from(["csv", "parquet"] if kind != "bytes" else ["parquet"]))
        frame.to_csv(tmp_path / f"{name}.csv", index=False) if end == "csv" else frame.to_parquet(
            tmp_path / f"{name}.parquet"
        )
        files.append(f"{name}.{end}")
    mapping = MappingParams.model_validate(
        {
            "queries": {"file": files[0], "id": "id", "text": ["text"]},
            "pairs": {"file": files[1], "query": "query", "label": "label"},
            "split": {"by": "last", "test_fraction": 0.5},
        }
    )
    taken = ingest(tmp_path, DataParams(mapping=mapping, validation_fraction=0.0, max_lost=0.0), 0)
    assert taken.relevance_train.nnz + taken.relevance_test.nnz == len(numbers)


@fuzz
@given(data=st.data(), ids=st.lists(IDS["text"][0], min_size=1, max_size=6, unique=True))
def test_lists_of_ids(tmp_path: Path, data: st.DataObject, ids: list[str]) -> None:
    assume(not {"label_id", "label", "id", "uid"} & set(ids))
    end, encoding = data.draw(st.sampled_from(["\n", "\r\n", "\r"])), data.draw(st.sampled_from(["utf-8", "utf-16"]))
    text = tmp_path / "ids.txt"
    text.write_bytes(end.join(ids).encode(encoding))
    assert read_label_list(text) == ids
    table = tmp_path / "ids.csv"
    pd.DataFrame({"label_id": ids}).to_csv(table, index=False, encoding=encoding)
    try:
        found = read_label_list(table)
    except VixmlError:
        return
    assert found == ids


@pytest.mark.parametrize("name", [*NATIVE, *PRINTING])
def test_every_way_of_writing_is_read_and_no_error(tmp_path, name):
    """The property is not kept by refusing everything."""
    if name.startswith("polars") and polars is None:
        pytest.skip("polars is not installed")
    found = Rows("int", [7, 8], ["7", "8"], ['say "a", b', "ü\nz"], [["a, b", "it's"], ["c"]])
    file, how = write(lambda strategy: strategy.example() if name == "x" else first(strategy, name), found, tmp_path)
    table = read_table(file, **how)
    assert table.ids("id") == found.ids
    assert table.columns["text"] == found.texts
    assert list(table.entries("tags", "")) == found.tags


def first(strategy: st.SearchStrategy, name: str) -> Any:
    """Return the way of writing that a test asks for, and elsewhere the simplest choice."""
    from hypothesis import find

    return find(strategy, lambda value: value == name or not isinstance(value, str) or "." not in value)
