"""Single files that appear whole or not at all, JSON, and hashes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError
from vixml.core.provenance import drop_volatile_keys, fingerprint_json
from vixml.core.storage import writing

_CHUNK = 1 << 20
_DOCUMENT = 1 << 26  # larger JSON files are hashed as they are


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that replaces it when the block ends without an error.

    Raises:
        StorageError: No space or no permission; the older file is untouched.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Put a file's content, or a folder's names, on the disk: a power cut must not undo what was promised."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as UTF-8 JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StateError: Missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise StateError("the file is missing", file=path) from err
    except (ValueError, RecursionError) as err:
        raise StateError("the file is not valid JSON", file=path, found=str(err)) from err


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def content_hash(path: Path) -> str:
    """Return a hash of what a file says: of a JSON document or JSON lines without times, speeds and memory."""
    if path.suffix in (".json", ".jsonl") and path.stat().st_size <= _DOCUMENT:
        text = path.read_bytes()
        try:
            parts = text.splitlines() if path.suffix == ".jsonl" else [text]
            return fingerprint_json([drop_volatile_keys(json.loads(part)) for part in parts])
        except ValueError:  # not JSON, whatever its name says
            pass
    return hash_file(path)


def stamp_of(path: Path) -> list[int]:
    """Return size, time of the last change and inode: equal ones mean that the file was not written to."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]


def link(source: Path, target: Path) -> None:
    """Hard-link a published file, or copy it where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def current_folder() -> Path:
    """Return the current folder; `kedro` calls this first (see `kedro.init` in pyproject.toml), `vixml` as well.

    Raises:
        SystemExit: It was removed.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        sys.exit("vixml: the current folder was removed; change to another one.")
