"""A predictor as it comes from somebody else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vixml.core.directories import MANIFEST
from vixml.core.files import hash_file
from vixml.core.provenance import fingerprint_json


def seal(folder: Path) -> None:
    """Write a manifest that fits the files, as whoever sends a folder can."""
    old = json.loads((folder / MANIFEST).read_text())
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, ".verified.json")
    }
    content = {"kind": old["kind"], "meta": old["meta"], "files": files}
    (folder / MANIFEST).write_text(json.dumps({**content, "seal": fingerprint_json(content)}))


@pytest.fixture
def stranger(models, tmp_path):
    """A predictor as it comes from elsewhere: copied, sealed, and not by this user."""
    folder = tmp_path / "predictor"
    shutil.copytree(models / "encoder_vision" / "predictor", folder)
    (folder / ".verified.json").unlink()
    seal(folder)
    return folder


def change(*path, value):
    """Set an entry of a JSON document."""

    def damage(file):
        document = json.loads(file.read_text())
        place = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        file.write_text(json.dumps(document))

    return damage
