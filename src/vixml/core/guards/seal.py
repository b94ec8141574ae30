"""What a sealed folder says of itself, and what this user found out about it.

The seal shows damage: whoever rewrites files and manifest makes a valid one. So two things are noted under a key that
only this user has, and no folder from elsewhere brings along: that a folder was sealed HERE, which its settings
(folders of pictures) are trusted for, and which files were hashed and found right, which are not hashed again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from vixml.core.errors import StateError, VixmlError
from vixml.core.files import read_json, write_json

RECORD = ".verified.json"
_BYTES = 32


def write_record(folder: Path, seal: str, stamps: Mapping[str, list[int]], *, made_here: bool) -> None:
    """Note the files that were found right, and whether the folder was sealed here.

    Args:
        folder: The folder.
        seal: Its seal.
        stamps: File -> size, time and inode.
        made_here: Whether it was sealed by this user.
    """
    record: dict[str, Any] = {"stamps": stamps, "checked": _sign("checked", seal, dict(stamps))}
    if made_here:
        record["made"] = _sign("made", seal)
    with suppress(VixmlError, OSError):  # only a short cut, and the place may be read-only
        write_json(folder / RECORD, record)


def read_record(folder: Path, seal: str) -> tuple[dict[str, list[int]], bool]:
    """Return the stamps of the files that were found right, and whether the folder was sealed here.

    A record that this user did not write counts for nothing.
    """
    try:
        record = read_json(folder / RECORD)
    except (StateError, OSError):
        return {}, False
    if not isinstance(record, dict):
        return {}, False
    stamps = record.get("stamps")
    if not isinstance(stamps, dict) or not _is(record.get("checked"), _sign("checked", seal, stamps)):
        stamps = {}
    return stamps, _is(record.get("made"), _sign("made", seal))


def check_names(folder: Path, names: Iterable[str]) -> None:
    """Make sure that files are in the folder itself: no `..`, no link on the way, nothing but regular files.

    Raises:
        StateError: One does not; it is named. One that is missing is not looked at.
    """
    parents: set[PurePosixPath] = set()
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
            raise StateError("a file leads out of its folder", file=folder, found=name)
        _refuse_link(folder, path, stat.S_ISREG)
        for parent in path.parents:
            if parent not in parents and parent.parts:
                parents.add(parent)
                _refuse_link(folder, parent, stat.S_ISDIR)


def _refuse_link(folder: Path, path: PurePosixPath, is_right: Any) -> None:
    try:
        mode = os.lstat(folder / path).st_mode
    except OSError:  # whoever reads it says so
        return
    if not is_right(mode):
        raise StateError(
            "the file is a link" if stat.S_ISLNK(mode) else "the file is no regular one",
            file=folder / path,
            expected="the files themselves, as they were sealed",
            remedy="copy the folder with its files instead of links.",
        )


def _is(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _sign(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hmac.new(_key(), text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


@lru_cache
def _key() -> bytes:
    """Return this user's key, made at its first use; one for this process alone where it cannot be kept."""
    base = os.environ.get("XDG_STATE_HOME")
    folder = (Path(base) if base else Path("~/.local/state").expanduser()) / "vixml"
    file, fresh = folder / "seal.key", secrets.token_bytes(_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            temporary = folder / f".seal.{secrets.token_hex(8)}"
            temporary.touch(mode=0o600)
            temporary.write_bytes(fresh)
            try:
                os.link(temporary, file)  # whole or not at all, and never over another's
            finally:
                temporary.unlink()
        key = file.read_bytes()
    except (OSError, RuntimeError):
        return fresh
    return key if len(key) == _BYTES else fresh
