"""Arrays written block by block: as NumPy would have written them at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vixml.core.errors import StateError
from vixml.data.array_writer import ArrayWriter


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_blocks_make_the_file_that_numpy_makes(tmp_path: Path, dtype: type) -> None:
    whole = np.random.default_rng(0).standard_normal((11, 3)) * 100
    np.save(tmp_path / "numpy.npy", whole.astype(dtype))
    with ArrayWriter(tmp_path / "ours.npy", whole.shape, dtype) as writer:
        for start in range(0, 11, 4):
            writer.append(whole[start : start + 4])
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_an_array_without_rows_can_be_mapped(tmp_path: Path) -> None:
    with ArrayWriter(tmp_path / "a.npy", (0, 3), np.float16):
        pass
    assert np.load(tmp_path / "a.npy", mmap_mode="r").shape == (0, 3)


def test_missing_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="incomplete"), ArrayWriter(tmp_path / "a.npy", (5, 2), np.float32) as writer:
        writer.append(np.zeros((4, 2)))


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"), ArrayWriter(tmp_path / "a.npy", (5, 2), np.float32) as writer:
        writer.append(np.zeros((4, 3)))
