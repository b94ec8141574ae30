"""Pickles of image maps: what would run code, fill the memory, or lies, is refused and nothing runs."""

from __future__ import annotations

import io
import os
import pickle
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.images.maps import MIXED, PROTOCOLS, header, objects, read, saved, written

from vixml.core.errors import DataError, VixmlError
from vixml.images.row_map import read_row_map

EXAMPLES = int(os.environ.get("VIXML_FUZZ_EXAMPLES", "0"))


fuzz = settings(
    max_examples=EXAMPLES or 200,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Runs:
    """Pickles to a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def touch(sentinel: Path) -> str:
    return f"touch {sentinel}"


HOSTILE = {
    "os.system": lambda s: Runs(os.system, touch(s)),
    "eval": lambda s: Runs(eval, f"open({str(s)!r}, 'w')"),
    "exec": lambda s: Runs(exec, f"open({str(s)!r}, 'w')"),
    "open": lambda s: Runs(open, str(s), "w"),
    "numpy.save": lambda s: Runs(np.save, str(s), 1),
    "numpy.memmap": lambda s: Runs(np.memmap, str(s), "uint8", "w+", 0, (1,)),
    "in a list": lambda s: [1, Runs(os.system, touch(s))],
    "in a tuple": lambda s: (1, (Runs(os.system, touch(s)),)),
    "as an argument": lambda s: Runs(np.dtype, Runs(os.system, touch(s))),
    "in an inner array": lambda s: objects([Runs(os.system, touch(s))]),
    "as a key": lambda s: {Runs(os.system, touch(s)): 1},
}


class TestHostile:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("name", HOSTILE)
    def test_nothing_runs(self, tmp_path, name, protocol):
        sentinel = tmp_path / "it_ran"
        payload = pickle.dumps(objects([HOSTILE[name](sentinel)]), protocol=protocol)
        with pytest.raises(DataError, match=r"Nothing in the file was run") as caught:
            read(tmp_path, written(payload))
        assert caught.value.file == tmp_path / "train_imgs_384_3_map.npy"
        assert not list(tmp_path.glob("it_ran*"))
        with suppress(Exception):
            pickle.loads(payload)  # the file is what it is said to be: the standard loader does run it
        assert list(tmp_path.glob("it_ran*"))

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_instead_of_the_array(self, tmp_path, protocol):
        sentinel = tmp_path / "it_ran"
        payload = pickle.dumps(Runs(os.system, touch(sentinel)), protocol=protocol)
        with pytest.raises(DataError, match=r"the name (posix|nt|os)\.system"):
            read(tmp_path, written(payload))
        assert not sentinel.exists()

    @pytest.mark.parametrize(
        ("payload", "says"),
        [
            (b"\x80\x02cos\nsystem\n.", "the name os.system"),
            (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "the name os.system"),
            (b"\x80\x04\x8c\x05numpy\x8c\x0cload\x00\x00\x00\x00\x00\x00\x00\x00\x93.", "the name numpy.load"),
            (b"\x80\x02cnumpy\nndarray\n)R.", "a call of ndarray"),
            (b"\x80\x02cnumpy\nndarray.tofile\n.", "the name numpy.ndarray.tofile"),
            (b"\x80\x02cnumpy \nndarray\n.", "the name numpy .ndarray"),
            (b"\x80\x02(cos\nsystem\nX\x02\x00\x00\x00idi.", "instruction|the name"),
            (b"\x80\x02(X\x02\x00\x00\x00idios\nsystem\n.", "instruction 0x69"),
            (b"\x80\x02P0\n.", "instruction 0x50"),
            (b"\x80\x04\x82\x01.", "instruction 0x82"),
            (b"\x80\x05\x97.", "instruction 0x97"),
            (b"\x80\x02}.", "instruction 0x7d"),
            (b"\x80\x02G\x00\x00\x00\x00\x00\x00\x00\x00.", "instruction 0x47"),
            (b"\x80\x02)\x81.", "instruction 0x81"),
            (b"\x80\x01K\x01.", "protocol"),
            (b"(lp0\n.", "protocol"),
            (b"\x80\x02K\x01.", "no object array"),
            (b"\x80\x02", "bytes"),
            (b"\x80\x02X\xff\xff\xff\x7fa.", "2147483647 bytes"),
            (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\xff.", "bytes"),
            (b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".", "a number of 255 bytes"),
            (b"\x80\x02h\x07.", "unknown memo"),
            (b"\x80\x02R.", "empty stack"),
            (b"\x80\x02e.", "no mark"),
            (b"\x80\x02(0.", "instruction 0x30"),
            (b"\x80\x02(a.", "empty stack"),
            (b"\x80\x02K\x01K\x01a.", "something else than a list"),
            (b"\x80\x02K\x01)R.", "something else than a name"),
            (b"\x80\x02K\x01)b.", "something else than an array"),
            (b"\x80\x02" + b"c" + b"a" * 300, "endless name"),
            (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
            (pickle.dumps(objects([[1]]), protocol=4)[:-20], "bytes|stack|array"),
            (pickle.dumps(objects([[1]]), protocol=4) + b"x", "after the end"),
            (pickle.dumps(objects([[1]]), protocol=4) * 2, "after the end"),
        ],
    )
    def test_payloads(self, tmp_path, payload, says):
        with pytest.raises(DataError, match=says):
            read(tmp_path, written(payload))

    @pytest.mark.parametrize(
        ("entries", "says"),
        [
            ([["a"]], "item 0 is no list of rows.*str"),
            ([[1.5]], "instruction 0x47"),
            ([1.5], "instruction 0x47"),
            ([[True]], "bool"),
            ([5], "no list of rows.*int 5"),
            ([-2], "no list of rows"),
            (["0 1 2"], "no list of rows"),
            ([b"012"], "no list of rows"),
            ([[1, [2]]], "no list of rows.*list"),
            ([{1: 2}], "instruction 0x7d"),
            ([np.array([[1, 2]])], "inner array of several dimensions"),
            ([np.array([1.0])], "dtype f8"),
            ([np.array([1, 2], dtype=object)], "object array inside"),
            ([np.array(["a"])], "dtype"),
            ([[-1]], "item 0 names a row out of range"),
            ([[1], [2, 100]], "item 1 names a row out of range.*100.*0 to 99"),
            ([[2**62]], "out of range"),
            ([[2**63]], "a number of 9 bytes"),
            ([np.array([2**63], dtype=np.uint64)], "a number that no row can have"),
        ],
    )
    def test_entries(self, tmp_path, entries, says):
        with pytest.raises(DataError, match=says):
            read(tmp_path, saved(entries), num_items=len(entries))

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "no .npy file"),
            (b"PK\x03\x04" + bytes(30), "no .npy file"),
            (b"\x93NUMPY\x01\x00\xff\xff{   ", "no header"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "no header"),
            (header(3) + pickle.dumps(objects([[1]])), "another shape"),
            (header("(1, 1)") + pickle.dumps(objects([[1]])), "another shape"),
            (header("()") + pickle.dumps(objects([[1]])), "another shape"),
            (header("(99999999999999999999999,)") + b".", "no shape"),
            (header(1) + pickle.dumps(objects([[1], [2]])), "more or fewer"),
            (header(1).replace(b"False", b"open(") + b".", "no header"),
            (header(1).replace(b"|O'", b"<i8'").replace(b" \n", b"\n"), "no header|object array"),
        ],
    )
    def test_files(self, tmp_path, content, says):
        with pytest.raises(DataError, match=says):
            read(tmp_path, content)

    def test_a_plain_array_is_named(self, tmp_path):
        stream = io.BytesIO()
        np.save(stream, np.arange(3))
        with pytest.raises(DataError, match=r"no object array.*dtype <i8"):
            read(tmp_path, stream.getvalue(), num_items=3)

    def test_items_of_equal_length_made_two_dimensional(self, tmp_path):
        stream = io.BytesIO()
        np.save(stream, np.array([[1, 2], [3, 4]], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match=r"another shape.*\(2, 2\).*\(2,\)"):
            read(tmp_path, stream.getvalue(), num_items=2)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_row_map(tmp_path / "no_map.npy", num_items=1, num_rows=1)


class TestBombs:
    """Small files that stand for much: refused in little time and memory."""

    def refused(self, tmp_path, content, says, num_items=1):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(DataError, match=says):
            read(tmp_path, content, num_items=num_items)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"

    def test_one_long_list_for_many_items(self, tmp_path):
        long = list(range(50)) * 400
        self.refused(tmp_path, saved([long] * 20_000), "repeats its lists", num_items=20_000)

    def test_a_list_that_holds_itself(self, tmp_path):
        loop: list[Any] = [1]
        loop.append(loop)
        self.refused(tmp_path, saved([loop]), "no list of rows.*int, list")

    def test_nested_lists_of_one_list(self, tmp_path):
        bomb: Any = [0]
        for _ in range(60):
            bomb = [bomb] * 10
        self.refused(tmp_path, saved([bomb]), "no list of rows")

    def test_deep_nesting(self, tmp_path):
        self.refused(tmp_path, written(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b"."), "no object array")

    def test_long_bytes_encoded_again_and_again(self, tmp_path):
        text = "a" * 60_000
        prefix = b"\x80\x02c_codecs\nencode\nq\x00X" + len(text).to_bytes(4, "little") + text.encode() + b"q\x01"
        call = b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R"
        self.refused(tmp_path, written(prefix + call * 50_000 + b"."), "again and again")

    def test_a_long_array_read_again_and_again(self, tmp_path):
        payload = pickle.dumps(objects([np.arange(20_000, dtype=np.int8).copy()]), protocol=4)
        assert payload.endswith(b".")
        raw = b"\x8e" + (10).to_bytes(8, "little")
        self.refused(tmp_path, written(b"\x80\x04" + raw + bytes(10) + b"."), "instruction 0x8e")

    def test_a_name_of_tuples_that_double(self, tmp_path):
        doubled = b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(200))
        name = b"K\x01q\x00" + doubled + b"X\x01\x00\x00\x00a\x93"
        self.refused(tmp_path, written(b"\x80\x04" + name + b"."), "a name made of tuple and str")

    def test_a_name_of_deep_tuples(self, tmp_path):
        name = b"K\x01" + b"\x85" * 200_000 + b"X\x01\x00\x00\x00a\x93"
        self.refused(tmp_path, written(b"\x80\x04" + name + b"."), "a name made of tuple and str")

    def test_memo_numbers_take_no_room(self, tmp_path):
        self.refused(tmp_path, written(b"\x80\x02K\x01r\xff\xff\xff\xff."), "no object array")


VALID = [saved(MIXED, protocol) for protocol in PROTOCOLS]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Arbitrary instructions behind a good header, or a good file with pieces cut out, overwritten or put in."""
    if draw(st.integers(0, 3)) == 0:
        codes = st.sampled_from([*b"(NJKM\x88\x89\x8a\x8cXCB\x96]ae)\x85\x86\x87tqr\x94hjc\x93Rb.\x95"])
        parts = draw(st.lists(st.one_of(codes.map(lambda code: bytes([code])), st.binary(max_size=4)), max_size=40))
        return written(b"\x80\x04" + b"".join(parts) + b".", draw(st.integers(0, 3)))
    content = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        until = min(len(content), place + draw(st.integers(0, 12)))
        content[place:until] = draw(
            st.one_of(st.binary(max_size=6), st.sampled_from([b"\xff" * 8, b"\x8c", b"R", b"."]))
        )
    return bytes(content)


@fuzz
@given(content=damaged(), num_items=st.sampled_from([0, 1, 3, len(MIXED)]))
def test_fuzz(tmp_path: Path, content: bytes, num_items: int) -> None:
    file = tmp_path / "map.npy"
    file.write_bytes(content)
    try:
        rows = read_row_map(file, num_items=num_items, num_rows=2**32)
    except VixmlError:
        return
    assert len(rows) == num_items
    assert ((rows.values >= 0) & (rows.values < 2**32)).all()
