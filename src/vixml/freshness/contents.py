"""Fingerprints of content on disk: equal content has an equal fingerprint, whatever the times of the files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vixml.core.directories import is_sealed, open_sealed
from vixml.core.errors import StateError, shown
from vixml.core.files import content_hash, hash_file, stamp_of
from vixml.core.provenance import fingerprint_json
from vixml.datasets.raw_folder import RawFolderDataset
from vixml.datasets.sealed_directory import SealedDirectoryDataset

DAMAGED = "damaged"
"""In place of a fingerprint: something is there, but it is torn or edited."""

_KNOWN: dict[tuple[str, str], str] = {}  # (path, stamp) -> fingerprint: what was hashed once is not hashed again


@dataclass(frozen=True)
class Content:
    """What a data set holds on disk.

    Args:
        fingerprint: Of the content; None where nothing is there, `DAMAGED` where it is not complete.
        stamp: Of sizes, times and inodes; equal stamps spare the hashing. None where hashing is cheap.
    """

    fingerprint: str | None
    stamp: str | None = None


def path_of(dataset: Any) -> Path | None:
    """Return the file or folder of a data set; None for one in memory."""
    path = getattr(dataset, "_filepath", None)
    return None if path is None else Path(str(path))


def content_of(dataset: Any, *, parts: Collection[str] | None = None) -> Content:
    """Return what a data set of the catalogue holds now.

    Args:
        dataset: Data set of the catalogue.
        parts: Names, without endings, of the files that count of a published directory; None for all of them.
    """
    path = path_of(dataset)
    if path is None:
        return Content(None)
    if isinstance(dataset, SealedDirectoryDataset) or (not isinstance(dataset, RawFolderDataset) and is_sealed(path)):
        return _sealed(path, parts)
    files = {".": path} if path.is_file() else _files_under(path)
    if not files:
        return Content(None)
    stamp = fingerprint_json({shown(name): stamp_of(file) for name, file in files.items()})
    known = _KNOWN.get((str(path), stamp))
    if known is None:
        known = content_hash(path) if path.is_file() else _tree(files)
        learn(path, stamp, known)
    return Content(known, stamp)


def learn(path: Path | None, stamp: str | None, fingerprint: str | None) -> None:
    """Take over what an earlier process found out."""
    if path is not None and stamp and fingerprint:
        _KNOWN[str(path), stamp] = fingerprint


def _sealed(path: Path, parts: Collection[str] | None) -> Content:
    try:
        directory = open_sealed(path)
        if parts is None:
            return Content(directory.fingerprint)
        hashes = {name: facts["sha256"] for name, facts in directory.files.items() if Path(name).stem in parts}
        return Content(fingerprint_json(hashes))
    except StateError:
        return Content(DAMAGED if path.exists() else None)


def _tree(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(os.fsencode(name) + f"\0{hash_file(file)}\n".encode())  # a name need not be UTF-8
    return digest.hexdigest()


def _files_under(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by relative name, hidden ones left out; symbolic links are followed, once."""
    found: dict[str, Path] = {}
    visited: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        facts = Path(root).stat()
        if (facts.st_dev, facts.st_ino) in visited:
            folders.clear()
            continue
        visited.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            file = Path(root, name)
            if not name.startswith(".") and file.is_file():
                found[file.relative_to(folder).as_posix()] = file
    return dict(sorted(found.items()))
