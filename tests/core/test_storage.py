import errno
import os
import resource
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest

from vixml.core.directories import Built, WorkDirectory, publish
from vixml.core.errors import DataError, StateError, StorageError
from vixml.core.files import atomic_file
from vixml.core.storage import check_array, reserve, storage_error, writing
from vixml.core.workspace import works_in


@contextmanager
def small_files():
    """Let no file grow beyond 4 KiB: a real limit of the kernel, that needs no rights.

    Only around what is tested: the test runner writes a file too where its output is redirected.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    made = subprocess.run(mount, check=False, capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small file system needs rights that this user does not have")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "larger than"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_every_reason_has_its_words_and_the_file(tmp_path, code, words):
    found = storage_error(OSError(code, "x", str(tmp_path / "model")))
    assert isinstance(found, StorageError)
    assert found.errno == code
    assert words in str(found)
    assert "model" in str(found)
    assert "--only-missing-outputs" in str(found)


def test_a_failed_copy_names_the_disk_of_its_target(tmp_path):
    source, target = tmp_path / "here" / "a", tmp_path / "there" / "b"
    found = storage_error(OSError(errno.ENOSPC, "x", str(source), None, str(target)))
    assert found is not None
    assert str(target) in str(found)
    assert str(source) not in str(found)


def test_a_node_without_space_names_the_folder_it_works_in(tmp_path):
    @works_in("label_update_work")
    def node(*, work):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="disk is full") as err:
        node(work=WorkDirectory(tmp_path / "work"))
    assert err.value.file == tmp_path / "work"


@pytest.mark.parametrize("shape", [(-1, 4), (4, -1), (1 << 40, 1 << 40)])
def test_an_array_of_an_impossible_shape_is_not_a_full_disk(tmp_path, shape):
    file = tmp_path / "a.npy"
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        stream.write(bytes(64))
    with pytest.raises(StateError, match="no NumPy array") as err:
        check_array(file)
    assert "shape" in str(err.value)
    assert "full" not in str(err.value)


def test_an_array_longer_than_its_header_says_is_not_a_full_disk(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(4))
    with (tmp_path / "a.npy").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(StateError, match="does not fit"):
        check_array(tmp_path / "a.npy")


def test_other_errors_are_left_alone():
    assert storage_error(OSError(errno.ENOENT, "x")) is None
    assert storage_error(ValueError("bad")) is None
    wrapped = DataError("the file is not readable")
    wrapped.__cause__ = PermissionError(errno.EACCES, "x")
    assert storage_error(wrapped) is None
    with pytest.raises(StateError), writing(os.devnull):
        raise StateError("something else")


def test_the_cause_is_found_below_other_errors(tmp_path):
    outer = RuntimeError("saving failed")
    outer.__cause__ = OSError(errno.ENOSPC, "x")
    found = storage_error(outer, path=tmp_path / "a" / "b", needed=3 << 20)
    assert "MiB free" in str(found)
    assert "3.0 MiB for this file" in str(found)


def save_numpy(file):
    np.save(file, np.zeros(1 << 20), allow_pickle=False)


def save_safetensors(file):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1 << 20)}, file)


def save_parquet(file):
    import pandas as pd

    pd.DataFrame({"a": np.random.default_rng(0).random(1 << 18)}).to_parquet(file)


def save_text(file):
    file.write_text("x" * (1 << 21))


def save_map(file):
    file.touch()
    reserve(file, 1 << 22)


def save_faiss(file):
    faiss = pytest.importorskip("faiss")
    index = faiss.IndexFlatIP(64)
    index.add(np.zeros((1 << 14, 64), dtype=np.float32))
    faiss.write_index(index, str(file))


WRITERS = [save_numpy, save_safetensors, save_parquet, save_text, save_map, save_faiss]


@pytest.mark.parametrize("write", WRITERS)
def test_what_the_libraries_raise_on_a_full_disk_is_told_as_such(full_disk, write):
    (full_disk / "kept").write_text("old")
    with pytest.raises(StorageError, match="full"), writing(full_disk):
        write(full_disk / "new")
    assert (full_disk / "kept").read_text() == "old"


@pytest.mark.parametrize("write", WRITERS)
def test_what_the_libraries_raise_at_a_limit_is_told_as_such(tmp_path, write):
    with small_files(), pytest.raises(StorageError), writing(tmp_path):
        write(tmp_path / "new")


def test_a_full_disk_leaves_the_older_file_and_nothing_else(full_disk):
    with atomic_file(full_disk / "a") as temporary:
        temporary.write_text("old")
    with pytest.raises(StorageError), atomic_file(full_disk / "a") as temporary:
        temporary.write_text("x" * (1 << 21))
    assert [p.name for p in full_disk.iterdir()] == ["a"]
    assert (full_disk / "a").read_text() == "old"


@pytest.mark.parametrize("items", [0, 7, 1010])
def test_an_array_that_numpy_lost_the_end_of_is_not_sealed(tmp_path, items):
    folder = tmp_path / "work"
    folder.mkdir()
    with small_files():  # 1010 numbers: no error, but 4 KiB at most
        np.save(folder / "a.npy", np.zeros(items, dtype=np.int32), allow_pickle=False)
    if items < 1000:
        assert publish(Built(folder, "tokens"), tmp_path / "out").files["a.npy"]["bytes"] == 128 + 4 * items
    else:
        with pytest.raises(StorageError, match=r"a\.npy"):
            publish(Built(folder, "tokens"), tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_forbidden_folder_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="permission denied"), atomic_file(tmp_path / "closed" / "a"):
        pass
