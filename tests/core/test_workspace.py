import inspect
import threading
import typing

import pytest

from vixml.core import workspace
from vixml.core.directories import WorkDirectory
from vixml.core.errors import StateError


def forget(work: WorkDirectory) -> None:
    (work.path / "state").unlink()


@workspace.works_in("part_work", afterwards=forget)
def build(first: int, *others: int, work: WorkDirectory) -> str:
    (work.path / "state").touch()
    return f"{work.path.name} {first} {len(others)}"


@workspace.works_in("other_work")
def keep(*, work: WorkDirectory) -> None:
    """Leave it as it is."""


@pytest.fixture(autouse=True)
def nowhere():
    workspace.use(None)
    yield
    workspace.use(None)


def test_outside_there_is_no_such_argument_but_its_types_are_known():
    assert list(inspect.signature(build).parameters) == ["first", "others"]
    assert typing.get_type_hints(build)["return"] is str


def test_whoever_runs_it_says_where_or_hands_the_folder_over(tmp_path):
    work = workspace.work_of(build, WorkDirectory(tmp_path), "encoder_text")
    assert work == WorkDirectory(tmp_path / "encoder_text" / "part_work")
    assert workspace.work_of(build, WorkDirectory(tmp_path), None) == WorkDirectory(tmp_path / "part_work")
    workspace.use(work)
    assert build(1, 2, 3) == "part_work 1 2"
    assert build(1, work=WorkDirectory(tmp_path)) == f"{tmp_path.name} 1 0"


def test_without_a_folder_it_says_what_to_do():
    with pytest.raises(StateError, match=r"`build` has no folder to work in.*kedro run"):
        build(1)


def test_a_function_without_a_folder_has_none(tmp_path):
    assert workspace.work_of(forget, WorkDirectory(tmp_path), None) is None


def test_threads_do_not_see_the_folders_of_each_other(tmp_path):
    workspace.use(WorkDirectory(tmp_path))
    errors = []

    def elsewhere():
        try:
            build(1)
        except StateError as err:
            errors.append(err)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_what_is_of_no_use_any_more_is_removed_where_the_function_says_so(tmp_path):
    work = WorkDirectory(tmp_path)
    build(1, work=work)
    workspace.clear(keep, work)
    assert (tmp_path / "state").exists()
    workspace.clear(build, work)
    assert not (tmp_path / "state").exists()
