"""Image maps: what numpy writes is read, and what contradicts the items is named."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.images.maps import MIXED, PROTOCOLS, objects, read, saved, written

ROWS = [[], [0, 1, 2], [], [3, 4], [5, 6], [7], [8, 9], [10, 13, 16, 19], [], [], [], [20, 70_000], [2**31 + 5]]


class TestWhatNumpyWrites:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_every_protocol_and_kind_of_entry(self, tmp_path, protocol):
        assert read(tmp_path, saved(MIXED, protocol), num_items=len(MIXED), num_rows=2**32) == ROWS

    def test_numpys_own_save(self, tmp_path):
        stream = io.BytesIO()
        np.save(stream, objects(MIXED), allow_pickle=True)
        assert read(tmp_path, stream.getvalue(), num_items=len(MIXED), num_rows=2**32) == ROWS

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_the_names_of_numpy_1(self, tmp_path, protocol):
        payload = pickle.dumps(objects(MIXED), protocol=protocol)
        old = payload.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
        old = old.replace(b"cnumpy._core.", b"cnumpy.core.").replace(
            b"\x14numpy._core.numeric", b"\x13numpy.core.numeric"
        )
        assert old != payload
        at = old.index(b"\x95") if protocol >= 4 else -1
        if at >= 0:  # the length of the frame, which is a hint only, no longer fits; the reader does not follow it
            old = old[: at + 1] + bytes(8) + old[at + 9 :]
        assert read(tmp_path, written(old, len(MIXED)), num_items=len(MIXED), num_rows=2**32) == ROWS

    @pytest.mark.parametrize("version", [(2, 0), (3, 0)])
    def test_later_versions_of_the_header(self, tmp_path, version):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, objects([[1], -1]), version=version, allow_pickle=True)
        assert read(tmp_path, stream.getvalue(), num_items=2) == [[1], []]

    def test_many_items(self, tmp_path):
        entries = [-1 if item % 3 else [item, item + 1] for item in range(5000)]
        expected = [[] if item % 3 else [item, item + 1] for item in range(5000)]
        assert read(tmp_path, saved(entries), num_items=5000, num_rows=5001) == expected

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        entries=st.lists(st.one_of(st.just(-1), st.lists(st.integers(0, 10**6), max_size=4)), max_size=8),
        protocol=st.sampled_from(PROTOCOLS),
        kind=st.sampled_from(["plain", "scalars", "arrays"]),
    )
    def test_round_trip(self, tmp_path, entries, protocol, kind):
        def made(entry):
            if kind == "plain":
                return entry
            if entry == -1:
                return np.int64(-1)
            return np.array(entry, dtype=np.int64) if kind == "arrays" else [np.int64(row) for row in entry]

        content = saved([made(entry) for entry in entries], protocol)
        expected = [[] if entry == -1 else entry for entry in entries]
        assert read(tmp_path, content, num_items=len(entries), num_rows=10**6 + 1) == expected
