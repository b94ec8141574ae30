"""Directories that appear whole or not at all.

A big result (tokens, an image bank, a model) is a directory. Its producer writes in a private WORK directory, which may
hold resumable state; `publish` then SEALS the finished folder, with a manifest of every file's size and hash, and moves
it to its final place. A directory without a manifest does not count as an output.

Nothing is ever written into a published directory, so no seal has to be revoked before the first write: the older
output stays readable and sealed all the while, which revoking it first would not allow. Only two renames separate old
and new; whoever opens the directory after a kill between them finishes the move.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError
from vixml.core.files import atomic_file, content_hash, hash_file, link, read_json, stamp_of, sync, write_json
from vixml.core.guards.seal import RECORD, check_names, read_record, write_record
from vixml.core.provenance import drop_volatile_keys, fingerprint_json
from vixml.core.storage import check_array, writing

__all__ = [
    "MANIFEST",
    "Built",
    "SealedDirectory",
    "WorkDirectory",
    "atomic_file",
    "hash_file",
    "is_sealed",
    "link",
    "open_sealed",
    "publish",
    "read_json",
    "write_json",
]

MANIFEST = "manifest.json"
_MANY = 100
_AGAIN = "run the pipeline that writes this directory again."


@dataclass(frozen=True)
class WorkDirectory:
    """A private folder of one producer; it exists, and survives a crash so that a rerun can continue in it."""

    path: Path

    def part(self, name: str) -> WorkDirectory:
        """Return the folder `name` in it, as one producer's of several that share this one."""
        return WorkDirectory(self.path / name)

    def fresh(self, name: str) -> Path:
        """Return the empty sub-folder `name`, removing what an earlier attempt left in it."""
        folder = self.path / name
        with writing(folder):
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
    seal: str = field(default="", compare=False)
    made_here: bool = field(default=False, compare=False)
    """Whether this user sealed it: a folder from elsewhere is not."""

    @property
    def replaced(self) -> bool:
        """Whether another directory has replaced it by now; its files are not checked."""
        try:
            return bool(read_json(self.path / MANIFEST)["seal"] != self.seal)
        except (StateError, OSError, TypeError, KeyError):  # between the renames of a `publish`, say
            return True

    @property
    def fingerprint(self) -> str:
        """Hash over all files and facts, times and memory left out: equal content, equal fingerprint."""
        contents = {name: facts.get("content", facts["sha256"]) for name, facts in self.files.items()}
        return fingerprint_json({"files": contents, "meta": drop_volatile_keys(dict(self.meta))})

    def verify(self) -> None:
        """Re-hash every file.

        Raises:
            StateError: A file is missing, torn or edited; it is named.
        """
        for name, facts in self.files.items():
            if not (self.path / name).is_file() or hash_file(self.path / name) != facts["sha256"]:
                raise StateError("the file differs from its manifest", file=self.path / name, remedy=_AGAIN)


def publish(built: Built, target: Path) -> SealedDirectory:
    """Move a finished folder to `target` and seal it, replacing an older one.

    The new directory is sealed beside the old one and put on the disk, then takes its place by renaming: an
    interruption leaves the old one or the new one, and never a mixture.

    Raises:
        StorageError: No space or no permission; the older directory is untouched.
    """
    incoming, old = _beside(target)
    with writing(target):
        _recover(target)
        _discard(incoming)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.move(built.path, incoming)  # a rename, or a copy where the target is on another file system
            _seal(incoming, built)
            if target.exists():
                _discard(old)
                os.replace(target, old)
            try:
                os.replace(incoming, target)
            except FileNotFoundError:
                if not is_sealed(target):  # else a reader between the renames finished the move
                    raise
        except Exception:
            if target.exists():  # else the renames are finished by the next who looks
                _discard(incoming)
            raise
        sync(target.parent)
        _discard(old)
    return open_sealed(target, kind=built.kind)


def is_sealed(path: Path) -> bool:
    """Return whether `path` is a complete published directory."""
    _recover(path)
    return (path / MANIFEST).is_file()


def open_sealed(path: Path, *, kind: str | None = None) -> SealedDirectory:
    """Open a published directory, checking that every file is there as its manifest says.

    Sizes are compared every time. A file is hashed only where its size, time or inode differ from those of the last
    time it was found right (a copied, touched or edited file): `SealedDirectory.verify` hashes all of them.

    Raises:
        StateError: Not sealed, of another kind, or a file is missing, torn or edited; it is named.
    """
    if not is_sealed(path):
        raise StateError(
            "no complete output is here",
            file=path,
            expected=f"a finished {kind or 'directory'} with a {MANIFEST}",
            remedy="run the pipeline that writes it.",
        )
    manifest = _read_manifest(path)
    if kind is not None and manifest["kind"] != kind:
        raise StateError("the directory holds something else", file=path, found=manifest["kind"], expected=kind)
    _check_sizes(path, manifest)
    made_here = _check_contents(path, manifest)
    return SealedDirectory(**manifest, path=path, made_here=made_here)


def _seal(folder: Path, built: Built) -> None:
    """Write the manifest, which is the seal, as the last file, and put everything on the disk."""
    (folder / RECORD).unlink(missing_ok=True)
    paths = sorted(p for p in folder.rglob("*") if not p.is_dir() and p != folder / MANIFEST)
    check_names(folder, [path.relative_to(folder).as_posix() for path in paths])
    files: dict[str, dict[str, Any]] = {}
    for path in paths:
        if path.suffix == ".npy":
            check_array(path)
        facts = files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        if path.suffix in (".json", ".jsonl"):
            facts["content"] = content_hash(path)
    if len(paths) > _MANY:
        os.sync()  # one by one, thousands of small files take as many seconds as the disk takes for all at once
    else:
        for path in paths:
            sync(path)
    manifest = json.loads(json.dumps({"kind": built.kind, "meta": dict(built.meta), "files": files}))
    seal = fingerprint_json(manifest)
    write_record(folder, seal, {name: stamp_of(folder / name) for name in files}, made_here=True)
    write_json(folder / MANIFEST, {**manifest, "seal": seal})


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return kind, meta, files and seal.

    Raises:
        StateError: Edited, malformed, or it names files outside of the folder.
    """
    manifest = read_json(path / MANIFEST)
    try:
        content = {key: manifest[key] for key in ("kind", "meta", "files")}
        intact = manifest["seal"] == fingerprint_json(content) and isinstance(content["meta"], dict)
        intact = intact and all(
            type(facts["bytes"]) is int and isinstance(facts["sha256"], str) for facts in content["files"].values()
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        intact = False
    if not intact:
        raise StateError("the manifest was edited", file=path / MANIFEST, remedy=_AGAIN)
    check_names(path, content["files"])
    return {**content, "seal": manifest["seal"]}


def _check_sizes(path: Path, manifest: Mapping[str, Any]) -> None:
    for name, facts in manifest["files"].items():
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != facts["bytes"]:
            raise StateError(
                "the file is missing or torn",
                file=file,
                found="no such file" if size is None else f"{size} bytes",
                expected=f"{facts['bytes']} bytes",
                remedy=_AGAIN,
            )


def _check_contents(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Hash the files that somebody wrote to since their hash was last found right; return whether it was made here."""
    known, made_here = read_record(path, manifest["seal"])
    stamps = {name: stamp_of(path / name) for name in manifest["files"]}
    for name in [name for name, stamp in stamps.items() if known.get(name) != stamp]:
        if hash_file(path / name) != manifest["files"][name]["sha256"]:
            raise StateError("the file was edited: it differs from its manifest", file=path / name, remedy=_AGAIN)
    if stamps != known:
        write_record(path, manifest["seal"], stamps, made_here=made_here)
    return made_here


def _beside(target: Path) -> tuple[Path, Path]:
    return target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")


def _recover(target: Path) -> None:
    """Finish the renames of a `publish` that was killed between them: the new directory, else the old one."""
    if target.exists():
        return
    for candidate in _beside(target):
        if not (candidate / MANIFEST).is_file():
            continue
        try:
            _check_sizes(candidate, _read_manifest(candidate))
            os.replace(candidate, target)
        except (StateError, OSError):  # not complete, another process was faster, or a read-only place
            continue
        return


def _discard(folder: Path) -> None:
    """Remove a folder, its seal first: a half-removed one must not look complete."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
