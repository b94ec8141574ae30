"""Directories that appear whole or not at all.

A big result (tokens, an image bank, a model) is a directory. Its producer writes in a private WORK directory, which may
hold resumable state; `publish` then SEALS the finished folder, with a manifest of every file's size and hash, and moves
it to its final place. A directory without a manifest does not count as an output.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError

MANIFEST = "manifest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class WorkDirectory:
    """A private folder of one producer; it exists, and survives a crash so that a rerun can continue in it."""

    path: Path

    def fresh(self, name: str) -> Path:
        """Return the empty sub-folder `name`, removing what an earlier attempt left in it."""
        folder = self.path / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True)
class Built:
    """A finished but not yet published directory.

    Args:
        path: Folder with the finished files (inside the producer's work directory, on the same file system).
        kind: What it is, for instance `tokens` or `image-bank`; checked when it is opened.
        meta: JSON-serialisable facts that travel in the manifest.
    """

    path: Path
    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SealedDirectory:
    """Read-only handle of a published directory."""

    path: Path
    kind: str
    meta: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def fingerprint(self) -> str:
        """Hash over the names and hashes of all files: equal content, equal fingerprint."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\0{self.files[name]['sha256']}\n".encode())
        return digest.hexdigest()

    def verify(self) -> None:
        """Re-hash every file.

        Raises:
            StateError: A file is missing, torn or edited; it is named.
        """
        for name, facts in self.files.items():
            if hash_file(self.path / name) != facts["sha256"]:
                raise StateError(
                    "the file differs from its manifest",
                    file=self.path / name,
                    remedy="run the pipeline that writes this directory again.",
                )


def publish(built: Built, target: Path) -> SealedDirectory:
    """Move a finished folder to `target` and seal it, replacing an older one.

    The new directory is sealed beside the old one, then takes its place by renaming: an interruption leaves the old
    one, the new one, or for an instant none under this name, and never a mixture.
    """
    manifest = {
        "kind": built.kind,
        "meta": dict(built.meta),
        "files": {
            str(p.relative_to(built.path).as_posix()): {"bytes": p.stat().st_size, "sha256": hash_file(p)}
            for p in sorted(built.path.rglob("*"))
            if p.is_file()
        },
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    incoming, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    shutil.rmtree(incoming, ignore_errors=True)
    shutil.move(built.path, incoming)  # a rename, or a copy where the target is on another file system
    write_json(incoming / MANIFEST, manifest)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
    os.replace(incoming, target)
    shutil.rmtree(old, ignore_errors=True)
    return open_sealed(target, kind=built.kind)


def is_sealed(path: Path) -> bool:
    """Tell whether `path` is a complete published directory."""
    return (path / MANIFEST).is_file()


def open_sealed(path: Path, *, kind: str | None = None) -> SealedDirectory:
    """Open a published directory, checking that every file is there with its recorded size.

    Raises:
        StateError: Not sealed, of another kind, or a file is missing or of another size.
    """
    if not is_sealed(path):
        raise StateError(
            "no complete output is here",
            file=path,
            expected=f"a finished {kind or 'directory'} with a {MANIFEST}",
            remedy="run the pipeline that writes it.",
        )
    manifest = read_json(path / MANIFEST)
    if kind is not None and manifest.get("kind") != kind:
        raise StateError("the directory holds something else", file=path, found=manifest.get("kind"), expected=kind)
    for name, facts in manifest["files"].items():
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != facts["bytes"]:
            raise StateError(
                "the file is missing or torn",
                file=file,
                found="no such file" if size is None else f"{size} bytes",
                expected=f"{facts['bytes']} bytes",
                remedy="run the pipeline that writes this directory again.",
            )
    return SealedDirectory(path=path, kind=manifest["kind"], meta=manifest["meta"], files=manifest["files"])


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that replaces it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
    except ValueError as err:
        raise StateError("the file is not valid JSON", file=path, found=str(err)) from err


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
