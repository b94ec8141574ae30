"""Publishing: killed or failing at any step it leaves the old output or the new one, whole."""

import errno
import json
import os
import shutil

import pytest

from vixml.core import directories
from vixml.core.directories import MANIFEST, Built, WorkDirectory, is_sealed, open_sealed, publish, write_json
from vixml.core.errors import StateError, StorageError


class Killed(BaseException):
    """The process ends here: no handler for errors runs (they catch `Exception`)."""


def built(tmp_path, text, **meta):
    folder = WorkDirectory(tmp_path / "work").fresh("out")
    (folder / "deep").mkdir()
    (folder / "deep" / "a.txt").write_text(text)
    (folder / "state.json").write_text(json.dumps({"step": 1, "seconds": len(text)}))
    return Built(folder, "tokens", meta)


def text_of(target):
    return (open_sealed(target, kind="tokens").path / "deep" / "a.txt").read_text()


def dying(real, number, *, before):
    """Return `real`, except that the process dies at call `number`."""
    calls = []

    def step(*args, **kwargs):
        calls.append(args)
        if len(calls) == number and before:
            raise Killed
        result = real(*args, **kwargs)
        if len(calls) == number:
            raise Killed
        return result

    return step


@pytest.mark.parametrize("step", [(shutil, "move"), (shutil, "rmtree"), (os, "replace"), (os, "fsync")])
@pytest.mark.parametrize("before", [True, False])
def test_a_kill_at_any_step_leaves_one_whole_output(tmp_path, monkeypatch, step, before):
    target, real = tmp_path / "out", getattr(*step)
    for number in range(1, 40):  # die at call 1, 2, ... until there is no such call
        for path in tmp_path.iterdir():
            shutil.rmtree(path)
        publish(built(tmp_path, "old"), target)
        new = built(tmp_path, "new content")
        with monkeypatch.context() as patch:
            patch.setattr(*step, dying(real, number, before=before))
            try:
                publish(new, target)
            except Killed:
                pass
            else:
                break
        assert is_sealed(target)
        assert text_of(target) in ("old", "new content")
        open_sealed(target).verify()
        publish(built(tmp_path, "next"), target)
        assert text_of(target) == "next"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "work"]
    assert 1 < number < 39


def test_an_error_between_the_renames_is_repaired_by_the_next_who_looks(tmp_path, monkeypatch):
    target = tmp_path / "out"
    publish(built(tmp_path, "old"), target)
    real = os.replace

    def second_fails(source, goal):
        if str(source).endswith(".out.new"):
            raise PermissionError(errno.EACCES, "no", str(source))
        real(source, goal)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", second_fails)
        with pytest.raises(StorageError, match="permission denied"):
            publish(built(tmp_path, "new"), target)
        assert not target.exists()
    assert text_of(target) == "new"


def test_a_reader_between_the_renames_disturbs_no_publishing(tmp_path, monkeypatch):
    target = tmp_path / "out"
    publish(built(tmp_path, "old"), target)
    real, read = os.replace, []

    def replace(source, goal):
        real(source, goal)
        if str(goal).endswith(".out.old"):
            read.append(text_of(target))  # another process opens the directory now, and finishes the move

    monkeypatch.setattr(os, "replace", replace)
    publish(built(tmp_path, "new"), target)
    assert read == ["new"]
    assert text_of(target) == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "work"]


def test_what_is_incomplete_beside_the_target_is_not_taken(tmp_path):
    target = tmp_path / "out"
    publish(built(tmp_path, "old"), target)
    os.replace(target, tmp_path / ".out.new")
    (tmp_path / ".out.new" / "deep" / "a.txt").write_text("torn!")
    assert not is_sealed(target)
    with pytest.raises(StateError, match="no complete output is here"):
        open_sealed(target)


def test_a_torn_file_is_named(tmp_path):
    target = tmp_path / "out"
    publish(built(tmp_path, "content"), target)
    (target / "deep" / "a.txt").write_text("cont")
    with pytest.raises(StateError, match=r"a\.txt: the file is missing or torn.*4 bytes.*7 bytes"):
        open_sealed(target)


def test_an_edited_file_of_equal_size_is_named(tmp_path):
    target = tmp_path / "out"
    publish(built(tmp_path, "content"), target)
    (target / "deep" / "a.txt").write_text("CONTENT")
    with pytest.raises(StateError, match=r"a\.txt: the file was edited"):
        open_sealed(target)


def test_an_edited_manifest_is_named(tmp_path):
    target = tmp_path / "out"
    publish(built(tmp_path, "content", rows=3), target)
    manifest = json.loads((target / MANIFEST).read_text())
    manifest["meta"]["rows"] = 4
    (target / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StateError, match="the manifest was edited"):
        open_sealed(target)


def test_files_are_hashed_once_for_each_state(tmp_path, monkeypatch):
    target, hashed, real = tmp_path / "out", [], directories.hash_file
    publish(built(tmp_path, "content"), target)
    monkeypatch.setattr(directories, "hash_file", lambda path: hashed.append(path.name) or real(path))
    open_sealed(target)
    assert hashed == []
    os.utime(target / "deep" / "a.txt", ns=(1, 1))  # touched, equal
    open_sealed(target)
    open_sealed(target)
    assert hashed == ["a.txt"]
    shutil.copytree(target, tmp_path / "copy")  # other inodes
    open_sealed(tmp_path / "copy")
    open_sealed(tmp_path / "copy")
    assert sorted(hashed) == ["a.txt", "a.txt", "state.json"]


def test_the_fingerprint_is_of_the_content_without_times(tmp_path):
    def published(text, **meta):
        return publish(built(tmp_path, text, **meta), tmp_path / "out").fingerprint

    first = published("ab", rows=3, training_seconds=1.5)
    write_json(tmp_path / "other.json", 1)
    assert published("ab", rows=3, training_seconds=99.0) == first
    assert published("ab", rows=4, training_seconds=1.5) != first
    assert published("ac", rows=3, training_seconds=1.5) != first
