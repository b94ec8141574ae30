"""An array that goes into a `.npy` file block by block, so that it never has to fit into main memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vixml.core.errors import StateError


class ArrayWriter:
    """Writes the rows of an array of known shape one block after the other; use it in a `with` statement.

    Not through a memory map: what is written there counts as this process's memory until the system takes it, and a
    full disk kills the process.

    Args:
        file: The `.npy` file; an older one is replaced.
        shape: Shape of the whole array.
        dtype: Type of its numbers.
    """

    def __init__(self, file: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._file, self._shape, self._dtype, self._rows = file, shape, np.dtype(dtype), 0
        self._stream = file.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def append(self, block: NDArray[np.generic]) -> None:
        """Write the next rows, converted to the array's type."""
        if block.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {block.shape[1:]} for an array {self._shape}")
        self._stream.write(np.ascontiguousarray(block, dtype=self._dtype).data)
        self._rows += len(block)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if kind is None and self._rows != self._shape[0]:
            raise StateError(
                "an array is incomplete", file=self._file, found=f"{self._rows} rows", expected=str(self._shape[0])
            )
