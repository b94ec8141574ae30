"""The few pickle instructions of a numpy array of row lists, interpreted without importing or calling anything.

The standard unpickler looks names up in modules and calls them: whoever writes the file decides what runs. Here a name
becomes a `_Name` value if it is one of `_NAMES`, letter by letter, and an error otherwise; "calling" it is a method of
this module that computes a plain value (a number, bytes, an integer array). Work and memory are bounded by the size of
the payload: lengths are checked against it before anything is made, and no value is ever copied from the memo.

Formats: protocols 2 to 5 of `pickletools`, of numpy 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_LARGEST_INDEX = 8  # bytes of a whole number
_NAMES = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "reconstruct" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "frombuffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
}
"""(module, name) -> what it stands for: all that a pickled array of whole numbers and lists refers to."""


class RefusedPickleError(Exception):
    """The payload is not what the reader knows; the message says what was found."""


@dataclass(frozen=True)
class _Name:
    """One of the known names, never the thing that it names."""

    kind: str


@dataclass
class _DType:
    """A pickled dtype: `O8`, `i8`, ..., and its byte order once it is known."""

    code: str
    order: str = "="

    def integer(self) -> np.dtype[Any]:
        """Return the integer dtype.

        Raises:
            RefusedPickleError: It is of another kind.
        """
        if self.code not in {f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)}:
            raise RefusedPickleError(f"an array or number of dtype {self.code[:40]}")
        return np.dtype({"|": "", "=": ""}.get(self.order, self.order) + self.code)


@dataclass
class _Array:
    """An array under construction; `entries` of an object array, `numbers` of an integer one."""

    entries: list[Any] | None = None
    numbers: NDArray[Any] | None = None
    built: bool = field(default=False)


class _Mark:
    """Where the arguments of the next instruction begin."""


_MARK = _Mark()


class RowPickle:
    """Interprets one payload.

    Args:
        payload: The bytes of the pickle, protocol 2 to 5.
    """

    def __init__(self, payload: bytes | memoryview) -> None:
        self._data = memoryview(payload)
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._budget = 4 * len(self._data) + 1024  # bytes that may be computed with: the memo could repeat long ones

    def array(self) -> list[Any]:
        """Return the entries of the one object array that the payload holds: ints, None, lists, tuples, int64 arrays.

        Raises:
            RefusedPickleError: It holds anything else.
        """
        if self._one() != 0x80 or not 2 <= self._one() <= 5:
            raise RefusedPickleError("no pickle of protocol 2 to 5")
        operations = self._OPERATIONS
        while True:
            code = self._one()
            if code == ord("."):
                break
            operation = operations.get(code)
            if operation is None:
                raise RefusedPickleError(f"the instruction 0x{code:02x} at byte {self._at - 1}")
            operation(self)
        if self._at != len(self._data):
            raise RefusedPickleError(f"{len(self._data) - self._at} bytes after the end")
        if len(self._stack) != 1 or not isinstance(self._stack[0], _Array) or self._stack[0].entries is None:
            raise RefusedPickleError("no object array")
        return [_finished(entry) for entry in self._stack[0].entries]

    # ---- reading ----

    def _take(self, count: int) -> memoryview:
        if not 0 <= count <= len(self._data) - self._at:
            raise RefusedPickleError(f"{count} bytes at byte {self._at}, where {len(self._data) - self._at} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def _one(self) -> int:
        return self._take(1)[0]

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise RefusedPickleError(f"an empty stack at byte {self._at}")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise RefusedPickleError(f"no mark at byte {self._at}")
        begin = self._marks.pop()
        found = self._stack[begin:]
        del self._stack[begin:]
        return found

    def _text(self, size: int) -> None:
        raw = bytes(self._take(size))
        try:
            self._stack.append(raw.decode("utf-8"))
        except UnicodeDecodeError:
            raise RefusedPickleError(f"a text that is not UTF-8: {raw[:40]!r}") from None

    def _long(self) -> None:
        size = self._one()
        if size > _LARGEST_INDEX:
            raise RefusedPickleError(f"a number of {size} bytes")
        self._stack.append(self._number(size, signed=True))

    def _skip_frame(self) -> None:
        self._number(8)  # how many bytes follow; only a hint for reading ahead

    # ---- containers and the memo ----

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _append(self) -> None:
        value = self._pop()
        self._last_list().append(value)

    def _appends(self) -> None:
        values = self._pop_to_mark()
        self._last_list().extend(values)

    def _last_list(self) -> list[Any]:
        target = self._pop()
        if not isinstance(target, list):
            raise RefusedPickleError(f"values are put into something else than a list at byte {self._at}")
        self._stack.append(target)
        return target

    def _tuple(self, size: int) -> None:
        self._stack.append(tuple(reversed([self._pop() for _ in range(size)])))

    def _put(self, index: int) -> None:
        value = self._pop()
        self._stack.append(value)
        self._memo[index] = value

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise RefusedPickleError(f"the unknown memo entry {index} at byte {self._at}")
        self._stack.append(self._memo[index])

    # ---- names, and what they stand for ----

    def _named(self, module: object, name: object) -> None:
        # only texts are printed: a small file can hold tuples whose print fills any memory
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedPickleError(f"a name made of {type(module).__name__} and {type(name).__name__}")
        kind = _NAMES.get((module, name))
        if kind is None:
            raise RefusedPickleError(f"the name {module[:60]}.{name[:60]}")
        self._stack.append(_Name(kind))

    def _global(self) -> None:
        found = bytes(self._data[self._at : self._at + 200]).split(b"\n", 2)
        if len(found) < 3:
            raise RefusedPickleError(f"an endless name at byte {self._at}")
        self._take(len(found[0]) + len(found[1]) + 2)
        self._named(*(part.decode("utf-8", errors="replace") for part in found[:2]))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._named(module, name)

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise RefusedPickleError(f"a call of something else than a name at byte {self._at}")
        self._spend(arguments)
        self._stack.append(_CALLS[name.kind](arguments) if name.kind in _CALLS else _cannot(name.kind))

    def _build(self) -> None:
        state, target = self._pop(), self._pop()
        if isinstance(target, _DType):
            _set_order(target, state)
        elif isinstance(target, _Array) and isinstance(state, tuple):
            self._spend(state)
            _fill(target, state)
        else:
            raise RefusedPickleError(f"a state of something else than an array at byte {self._at}")
        self._stack.append(target)

    def _spend(self, values: tuple[Any, ...]) -> None:
        self._budget -= sum(len(value) for value in values[:8] if isinstance(value, str | bytes))
        if self._budget < 0:
            raise RefusedPickleError("the same bytes again and again")

    _OPERATIONS: ClassVar[dict[int, Callable[[RowPickle], None]]] = {
        0x95: _skip_frame,
        ord("("): _mark,
        ord("N"): lambda self: self._stack.append(None),
        ord("J"): lambda self: self._stack.append(self._number(4, signed=True)),
        ord("K"): lambda self: self._stack.append(self._number(1)),
        ord("M"): lambda self: self._stack.append(self._number(2)),
        0x88: lambda self: self._stack.append(True),
        0x89: lambda self: self._stack.append(False),
        0x8A: _long,
        0x8C: lambda self: self._text(self._number(1)),
        ord("X"): lambda self: self._text(self._number(4)),
        ord("C"): lambda self: self._stack.append(bytes(self._take(self._number(1)))),
        ord("B"): lambda self: self._stack.append(bytes(self._take(self._number(4)))),
        0x96: lambda self: self._stack.append(bytes(self._take(self._number(8)))),
        ord("]"): lambda self: self._stack.append([]),
        ord("a"): _append,
        ord("e"): _appends,
        ord(")"): lambda self: self._stack.append(()),
        0x85: lambda self: self._tuple(1),
        0x86: lambda self: self._tuple(2),
        0x87: lambda self: self._tuple(3),
        ord("t"): lambda self: self._stack.append(tuple(self._pop_to_mark())),
        ord("q"): lambda self: self._put(self._number(1)),
        ord("r"): lambda self: self._put(self._number(4)),
        0x94: lambda self: self._put(len(self._memo)),
        ord("h"): lambda self: self._get(self._number(1)),
        ord("j"): lambda self: self._get(self._number(4)),
        ord("c"): _global,
        0x93: _stack_global,
        ord("R"): _reduce,
        ord("b"): _build,
    }


def _cannot(kind: str) -> Any:
    raise RefusedPickleError(f"a call of {kind}")


def _is_whole(value: object) -> bool:
    return type(value) is int


def _reconstruct(arguments: tuple[Any, ...]) -> _Array:
    match arguments:
        case (_Name(kind="ndarray"), (0,), b"b"):
            return _Array()
    raise RefusedPickleError("an array that is not made as numpy makes it")


def _dtype(arguments: tuple[Any, ...]) -> _DType:
    match arguments:
        case (str(code), _, _) if len(code) <= 3:
            return _DType(code)
    raise RefusedPickleError("a dtype that is not made as numpy makes it")


def _set_order(target: _DType, state: object) -> None:
    match state:
        case (3, str(order), None, None, None, *_) if order in ("<", ">", "|", "="):
            target.order = order
        case _:
            raise RefusedPickleError("a dtype of several fields")


def _encode(arguments: tuple[Any, ...]) -> bytes:
    """Protocol 2 writes bytes as a text and the name of its encoding."""
    match arguments:
        case (str(text), "latin1"):
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError:
                raise RefusedPickleError("bytes that are no latin-1 text") from None
    raise RefusedPickleError("bytes of another encoding than latin1")


def _empty_bytes(arguments: tuple[Any, ...]) -> bytes:
    """Protocol 2 writes empty bytes as a call without arguments."""
    if arguments:
        raise RefusedPickleError("a call of bytes")
    return b""


def _scalar(arguments: tuple[Any, ...]) -> int:
    match arguments:
        case (_DType() as dtype, bytes(raw)):
            return int(_numbers(raw, dtype, (1,))[0])
    raise RefusedPickleError("a number that is not made as numpy makes it")


def _frombuffer(arguments: tuple[Any, ...]) -> _Array:
    match arguments:
        case (bytes(raw), _DType() as dtype, tuple(shape), "C" | "F"):
            return _Array(numbers=_numbers(raw, dtype, shape), built=True)
    raise RefusedPickleError("an array that is not made as numpy makes it")


def _fill(target: _Array, state: object) -> None:
    """Give an array its content, as `ndarray.__setstate__` would."""
    match state:
        case (1, tuple(shape), _DType(code=code) as dtype, bool(), content) if not target.built:
            target.built = True
            if code in ("O", "O4", "O8") and isinstance(content, list):
                if len(shape) != 1 or not _is_whole(shape[0]) or shape[0] != len(content):
                    raise RefusedPickleError("an object array of several dimensions, or of another length than it says")
                target.entries = content
                return
            if isinstance(content, bytes):
                target.numbers = _numbers(content, dtype, shape)
                return
    raise RefusedPickleError("the state of something else than an array")


def _numbers(raw: bytes, dtype: _DType, shape: tuple[Any, ...]) -> NDArray[Any]:
    """Return whole numbers from their bytes, as int64 [n]."""
    integer = dtype.integer()
    if len(shape) != 1 or not _is_whole(shape[0]) or shape[0] * integer.itemsize != len(raw):
        raise RefusedPickleError("an inner array of several dimensions, or of another length than it says")
    numbers = np.frombuffer(raw, dtype=integer)
    if integer.kind == "u" and integer.itemsize == _LARGEST_INDEX and (numbers > np.iinfo(np.int64).max).any():
        raise RefusedPickleError("a number that no row can have")
    return numbers.astype(np.int64)


def _finished(entry: object) -> object:
    """Return an entry of the outer array; an inner array as its numbers."""
    if not isinstance(entry, _Array):
        return entry
    if entry.numbers is None:
        raise RefusedPickleError("an object array inside the array, or one without content")
    return entry.numbers


_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "reconstruct": _reconstruct,
    "dtype": _dtype,
    "scalar": _scalar,
    "frombuffer": _frombuffer,
    "encode": _encode,
    "bytes": _empty_bytes,
}
