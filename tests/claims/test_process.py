"""Who a process is, and whether it still lives."""

import dataclasses
import multiprocessing
import os

from vixml.claims import process as processes
from vixml.claims.process import ProcessIdentity, this_process


def test_this_process_lives_and_survives_json():
    own = this_process()
    assert own.pid == os.getpid()
    assert own.lives() is True
    assert ProcessIdentity.of(own.as_document()) == own


def test_a_later_process_of_the_same_number_is_another_one():
    assert dataclasses.replace(this_process(), started=this_process().started + 1).lives() is False


def test_a_process_that_ended_is_gone_before_anybody_asked_for_its_exit_code():
    child = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
    child.start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    assert dataclasses.replace(this_process(), pid=child.pid, started=processes._start_of(os.getpid())).lives() is False
    assert processes._start_of(child.pid) is None
    child.join()


def test_what_runs_on_another_machine_or_before_a_restart_cannot_be_known():
    assert dataclasses.replace(this_process(), system="elsewhere").lives() is None


def test_a_document_of_something_else_is_nobody():
    for document in ({}, {"host": "a", "system": "b", "pid": "many", "started": 0}, {"pid": 1}):
        assert ProcessIdentity.of(document) is None


def test_without_proc_a_number_is_all_there_is(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    own = this_process()
    assert own.started == 0
    assert own.lives() is True
    assert dataclasses.replace(own, pid=2**22 + 1).lives() is False
