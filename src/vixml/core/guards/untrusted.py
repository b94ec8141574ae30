"""Opening files of a model that may come from anybody: what is malformed is a `StateError` that names the file.

Sizes are compared before anything is read: a few kilobytes can announce terabytes. Everything returned is in memory or
holds its file open, so that nothing changes when the folder is replaced.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import StateError, VixmlError
from vixml.core.guards.regular import NotRegularError, TooManyBytesError, read_regular
from vixml.core.storage import array_header

REMEDY = "get a whole copy of the model, or run the pipeline that makes it again."
_DOCUMENT = 1 << 28  # bytes of a JSON document; a tokenizer of 250,000 words has 20 MB
_EXPANDED = 64  # how many times its size a compressed file may become ...
_ALWAYS = 1 << 28  # ... or bytes that any may
_FINITE = 1 << 24  # numbers looked at together


@contextmanager
def opening(file: Path, what: str = "the file is missing or damaged") -> Iterator[None]:
    """Raise `StateError`, which names the file, for whatever reading it raises; errors of ours pass.

    A library in Rust that panics raises what is no `Exception`, and a false header leads to a `MemoryError`.
    """
    try:
        yield
    except VixmlError:
        raise
    except FileNotFoundError as err:
        raise StateError(what, file=file, found="no such file", remedy=REMEDY) from err
    except BaseException as err:
        if not isinstance(err, Exception) and type(err).__name__ != "PanicException":
            raise
        found = f"{type(err).__name__}: {' '.join(str(err).split())}".removesuffix(": ")
        raise StateError(what, file=file, found=found, remedy=REMEDY) from err


def read_document(file: Path, most: int = _DOCUMENT) -> dict[str, Any]:
    """Read a JSON object of numbers that are finite.

    Raises:
        StateError: Missing, too large, no JSON object, nested too deeply, or with NaN or infinite numbers.
    """

    def refuse(number: str) -> None:
        raise ValueError(f"the number {number}")

    with opening(file, "the file is not valid JSON"):
        try:
            text = read_regular(file, most)
        except TooManyBytesError as err:
            raise StateError("the file is too large", file=file, expected=f"at most {most} bytes") from err
        except NotRegularError as err:
            raise StateError("the file is no regular one", file=file) from err
        value = json.loads(text, parse_constant=refuse)
    if not isinstance(value, dict):
        raise StateError("the file holds no JSON object", file=file, found=type(value).__name__, remedy=REMEDY)
    return value


def open_array(
    file: Path, *, shape: Sequence[int | None], finite: bool | None = None, kinds: str = "f", mmap: bool = True
) -> NDArray[Any]:
    """Open a `.npy` file as a memory map.

    Args:
        file: The file.
        shape: The expected shape, None for any length.
        finite: Whether to look at every number; None: where they are few enough for that to take no time.
        kinds: Kinds of numbers that are right, as of `numpy.dtype.kind`.
        mmap: Whether a memory map is returned, or an array in memory.

    Raises:
        StateError: Missing, malformed, of another shape or type, or with numbers that are not finite.
    """
    with opening(file):
        with file.open("rb") as stream:
            found, dtype = array_header(stream)
            expected = stream.tell() + math.prod(found) * dtype.itemsize
        size = file.stat().st_size
        if size != expected:
            raise ValueError(f"{size} bytes; its header announces {expected}")
        _check_form(file, found, dtype, shape, kinds)
        array: NDArray[Any] = np.load(file, mmap_mode="r" if mmap and size else None, allow_pickle=False)
    if finite or (finite is None and size <= _ALWAYS):
        check_finite(file, array)
    return array


def check_finite(file: Path, array: NDArray[Any]) -> None:
    """Make sure that no number is NaN or infinite, block by block.

    Raises:
        StateError: One is.
    """
    if array.dtype.kind != "f" or not array.size:
        return
    rows = max(1, _FINITE // max(1, math.prod(array.shape[1:])))
    for begin in range(0, len(array), rows):
        if not np.isfinite(array[begin : begin + rows]).all():
            what = "the file holds numbers that are not finite"
            raise StateError(what, file=file, found=f"rows {begin} to {begin + rows}", remedy=REMEDY)


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of a `.npz` file, after the sizes that its headers announce are compared with those it has.

    Raises:
        StateError: Missing or malformed.
    """
    with opening(file), zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        total, most = sum(entry.file_size for entry in entries), max(_ALWAYS, _EXPANDED * file.stat().st_size)
        if total > most:
            raise ValueError(f"{total} bytes when unpacked, more than {most}")
        arrays = {}
        for entry in entries:
            with archive.open(entry) as stream:
                arrays[entry.filename.removesuffix(".npy")] = _read_array(stream, entry.file_size)
        return arrays


def _read_array(stream: IO[bytes], size: int) -> NDArray[Any]:
    shape, dtype = array_header(stream)
    expected = stream.tell() + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise ValueError(f"an array of {size} bytes whose header announces {expected}")
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def read_sparse(file: Path, *, shape: Sequence[int | None] = (None, None)) -> sp.csr_matrix:
    """Read a CSR matrix that `scipy.sparse.save_npz` wrote.

    Raises:
        StateError: Missing, malformed, of another shape, or with indices out of range: those could end the process.
    """
    arrays = read_arrays(file)
    with opening(file):
        if arrays["format"].item() not in (b"csr", "csr"):
            raise ValueError(f"a matrix of the format {arrays['format'].item()!r}")
        size = (int(arrays["shape"][0]), int(arrays["shape"][1]))
        _check_form(file, size, arrays["data"].dtype, shape, "fiub")
        if arrays["indices"].dtype.kind != "i" or arrays["indptr"].dtype.kind != "i":
            raise ValueError("indices that are no whole numbers")
        matrix = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=size)
        matrix.check_format(full_check=True)
    check_finite(file, matrix.data)
    return matrix


def _check_form(
    file: Path, found: Sequence[int], dtype: np.dtype[Any], expected: Sequence[int | None], kinds: str
) -> None:
    fits = len(found) == len(expected) and all(
        right is None or size == right for size, right in zip(found, expected, strict=True)
    )
    if not fits or dtype.kind not in kinds:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise StateError(
            "the array does not fit the rest of the model",
            file=file,
            found=f"{dtype} [{', '.join(map(str, found))}]",
            expected=f"numbers of kind {kinds} [{wanted}]",
            remedy=REMEDY,
        )


class HeldTable:
    """A Parquet table of items that is held open, and read at first use.

    Args:
        file: The file; checked when it is opened.
        columns: Column -> `text`, `texts` (lists of them) or `number`.
        rows: Rows that it must have; None for any number.
    """

    def __init__(self, file: Path, columns: dict[str, str], *, rows: int | None = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file, self._columns = file, columns
        with opening(file):
            texts = [name if kind == "text" else f"{name}.list.element" for name, kind in columns.items()]
            texts = [name for name, kind in zip(texts, columns.values(), strict=True) if kind != "number"]
            self._size = file.stat().st_size
            self._parquet = pq.ParquetFile(pa.memory_map(str(file)), read_dictionary=texts)
            facts = self._parquet.metadata
            self.rows = int(facts.num_rows)
            if rows is not None and self.rows != rows:
                raise ValueError(f"{self.rows} rows where the model has {rows}")
            self._check_schema()
            groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
            announced = sum(max(0, group.total_byte_size) for group in groups)
            values = sum(max(0, group.column(at).num_values) for group in groups for at in range(group.num_columns))
            if max(announced, 8 * values) > self._most or sum(group.num_rows for group in groups) != self.rows:
                raise ValueError(f"{announced} bytes and {values} values, of {self._size} bytes")

    @property
    def _most(self) -> int:
        return max(4 * _ALWAYS, _EXPANDED * self._size)

    @property
    def names(self) -> list[str]:
        """The columns that are there."""
        return list(self._parquet.schema_arrow.names)

    def read(self) -> dict[str, Any]:
        """Return the columns: a list of texts, a list of lists of texts, or an array of int64.

        Equal texts are one object: a small file can repeat a long one many times.

        Raises:
            StateError: A page is damaged, an entry is missing, or it is far larger in memory than on disk.
        """
        with opening(self._file):
            wanted = [name for name in self._columns if name in self.names]
            parts: dict[str, list[Any]] = {name: [] for name in wanted}
            total = 0
            for batch in self._parquet.iter_batches(batch_size=8192, columns=wanted):
                for name in wanted:
                    values, size = _values(batch.column(batch.schema.get_field_index(name)), self._columns[name])
                    parts[name].append(values)
                    total += size
                if total > self._most:
                    raise ValueError(f"over {self._most} bytes in memory, of {self._size} bytes")
        return {
            name: np.concatenate([np.zeros(0, np.int64), *found])
            if self._columns[name] == "number"
            else [value for part in found for value in part]
            for name, found in parts.items()
        }

    def _check_schema(self) -> None:
        import pyarrow as pa

        rights = {
            "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
            "number": pa.types.is_integer,
        }
        for name, kind in self._columns.items():
            if name not in self.names:
                continue
            found = self._parquet.schema_arrow.field(name).type
            if kind == "texts":
                is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
                element = found.value_type if is_list else None
                fits = element is not None and (rights["text"](_plain(element)) or pa.types.is_null(element))
            else:
                fits = rights[kind](_plain(found))
            if not fits:
                raise ValueError(f"the column `{name}` is of type {found}")


def _plain(kind: Any) -> Any:
    """Return the type of the values of a dictionary-encoded column."""
    return getattr(kind, "value_type", kind)


def _values(column: Any, kind: str) -> tuple[Any, int]:
    """Return the values of an Arrow array and their size in bytes as separate texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        raise ValueError("an entry is missing")
    if kind == "number":
        values = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return values, values.nbytes
    if kind == "texts":
        flat, size = _values(column.flatten(), "text")
        ends = np.cumsum(pc.list_value_length(column).to_numpy(zero_copy_only=False)).tolist()
        return [flat[begin:end] for begin, end in zip([0, *ends], ends, strict=False)], size + 8 * len(flat)
    if pa.types.is_dictionary(column.type):
        rows = column.indices.to_numpy(zero_copy_only=False)
        lengths = pc.binary_length(column.dictionary).to_numpy(zero_copy_only=False)
        words = column.dictionary.to_pylist()
        return [words[row] for row in rows.tolist()], int(lengths[rows].sum()) if len(rows) else 0
    return column.to_pylist(), column.nbytes
