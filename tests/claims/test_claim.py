"""Two runs that write the same outputs."""

import dataclasses
import json
import multiprocessing
import os
import random
import signal
import threading
import time

import pytest

from vixml.claims import claim as claims
from vixml.claims import process as processes
from vixml.claims.claim import claim, is_at_work
from vixml.claims.process import ProcessIdentity, this_process
from vixml.core.errors import StateError

FORK = multiprocessing.get_context("fork")


def writes(folder, *names):
    return {str(folder / name): name for name in names}


@pytest.fixture
def quick(monkeypatch):
    """Hearts that beat fast, and little patience."""
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.5)


def foreign(folder, token="theirs", *, paths, beat="1"):
    """A claim of a process on another machine, as it is on a shared disk."""
    folder.mkdir(parents=True, exist_ok=True)
    process = ProcessIdentity("elsewhere", "another boot", 7, 7)
    line = {"token": token, "process": process.as_document(), "since": "noon", "command": "kedro run", "writes": paths}
    with (folder / "claims.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    if beat is not None:
        (folder / f"{token}.beat").write_text(beat)
    return process


def test_the_second_one_learns_who_is_first(tmp_path):
    first = claim(tmp_path / "c", writes(tmp_path, "model", "index"), "kedro run --pipelines=encoder_text")
    with pytest.raises(StateError) as caught:
        claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run")
    for part in ("writing model", f"process {os.getpid()} on {this_process().host}", "since 20", "=encoder_text"):
        assert part in str(caught.value)
    first.release()
    first.release()
    claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run").release()
    assert not list((tmp_path / "c").glob("*.beat"))


def test_a_folder_and_what_is_in_it_are_the_same_place_and_a_longer_name_is_not(tmp_path):
    held = claim(tmp_path / "c", writes(tmp_path, "model"), "first")
    for inside in ("model/weights", "."):
        with pytest.raises(StateError):
            claim(tmp_path / "c", {os.path.normpath(tmp_path / inside): inside}, "second")
    other = claim(tmp_path / "c", writes(tmp_path, "model2", "index"), "second")
    other.release()
    held.release()


def test_the_claim_of_a_killed_process_does_not_count(tmp_path):
    def body():
        claim(tmp_path / "c", writes(tmp_path, "model"), "first")
        os.kill(os.getpid(), signal.SIGKILL)

    child = FORK.Process(target=body)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    claim(tmp_path / "c", writes(tmp_path, "model"), "second").release()


def test_a_line_that_a_kill_tore_hides_neither_the_lines_before_nor_those_after(tmp_path):
    first = claim(tmp_path / "c", writes(tmp_path, "model"), "first")
    with (tmp_path / "c" / "claims.jsonl").open("ab") as stream:
        stream.write(b'{"token": "torn", "wri')
    second = claim(tmp_path / "c", writes(tmp_path, "index"), "second")
    for name in ("model", "index"):
        with pytest.raises(StateError):
            claim(tmp_path / "c", writes(tmp_path, name), "third")
    first.release()
    second.release()


def test_a_heartbeat_elsewhere_that_beats_counts_whatever_the_clocks_say(tmp_path, quick):
    process = foreign(tmp_path / "c", paths=writes(tmp_path, "model"))
    beat, ended = tmp_path / "c" / "theirs.beat", threading.Event()
    os.utime(beat, (1, 1))  # of 1970, by the clock of that machine

    def go_on():
        number = 0
        while not ended.wait(0.05):
            beat.write_text(str(number := number + 1))
            os.utime(beat, (1, 1))

    thread = threading.Thread(target=go_on)
    thread.start()
    with pytest.raises(StateError, match="process 7 on elsewhere, since noon"):
        claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run")
    ended.set()
    thread.join()
    # it stopped beating, so the place is free
    claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run").release()
    assert not is_at_work(process, tmp_path / "c")


@pytest.mark.parametrize("beat", ["1", None])
def test_a_dead_process_elsewhere_is_recognised_and_a_clock_that_was_set_back_does_not_keep_it(tmp_path, quick, beat):
    foreign(tmp_path / "c", paths=writes(tmp_path, "model"), beat=beat)
    if beat is not None:
        os.utime(tmp_path / "c" / "theirs.beat", (time.time() + 3600, time.time() + 3600))
    claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run").release()


def test_a_job_that_was_killed_a_moment_ago_on_another_machine_does_not_keep_its_successor_out(tmp_path, quick):
    process = foreign(tmp_path / "c", paths=writes(tmp_path, "model"))
    (tmp_path / "c" / "theirs.beat").touch()
    assert is_at_work(process, tmp_path / "c")  # as far as can be known without watching
    claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run").release()


def test_whether_a_process_is_at_work(tmp_path):
    assert is_at_work(this_process(), tmp_path / "c")
    assert not is_at_work(dataclasses.replace(this_process(), started=1), tmp_path / "c")
    elsewhere = ProcessIdentity("elsewhere", "another boot", 7, 7)
    assert is_at_work(elsewhere, tmp_path / "not here")  # nothing to judge by
    (tmp_path / "c").mkdir()
    assert not is_at_work(elsewhere, tmp_path / "c")


def test_one_that_slept_while_another_took_over_stops(tmp_path):
    slept = claim(tmp_path / "c", writes(tmp_path, "model"), "first")
    slept.check()
    with (tmp_path / "c" / "claims.jsonl").open("a") as stream:
        stream.write(json.dumps({"released": slept.claim.token}) + "\n")
    foreign(tmp_path / "c", paths=writes(tmp_path, "model"))
    with pytest.raises(StateError, match=r"another run is writing model.*elsewhere"):
        slept.check()
    slept.release()


def test_a_claim_whose_file_was_removed_is_made_again(tmp_path):
    held = claim(tmp_path / "c", writes(tmp_path, "model"), "first")
    (tmp_path / "c" / "claims.jsonl").unlink()
    held.check()
    with pytest.raises(StateError):
        claim(tmp_path / "c", writes(tmp_path, "model"), "second")
    held.release()


def test_without_locks_the_claims_still_count(tmp_path, monkeypatch, caplog):
    def refused(stream, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(claims.fcntl, "flock", refused)
    held = claim(tmp_path / "c", writes(tmp_path, "model"), "first")
    assert "has no locks" in caplog.text
    with pytest.raises(StateError):
        claim(tmp_path / "c", writes(tmp_path, "model"), "second")
    held.release()


def test_a_run_that_was_suspended_while_it_had_the_lock_keeps_nobody_waiting_for_ever(tmp_path, quick):
    first = claim(tmp_path / "c", writes(tmp_path, "model"), "kedro run --pipelines=encoder_text")
    with (tmp_path / "c" / "claims.jsonl").open("ab") as stream:
        claims.fcntl.flock(stream, claims.fcntl.LOCK_EX)
        with pytest.raises(StateError, match=rf"does not go on.*process {os.getpid()} .*=encoder_text.*`fg`"):
            claim(tmp_path / "c", writes(tmp_path, "index"), "second")
        assert is_at_work(ProcessIdentity("elsewhere", "another boot", 7, 7), tmp_path / "c")
        first.release()  # what cannot be written down ends with the process
    claim(tmp_path / "c", writes(tmp_path, "index"), "second").release()


def _torture(folder, seed, rounds):
    """Claim again and again; whoever has the claim must be alone. Some are killed while they have it."""
    rng = random.Random(seed)
    for number in range(rounds):
        names = rng.sample(["a", "b"], rng.randint(1, 2))
        try:
            held = claim(folder / "c", writes(folder, *names), f"{seed}.{number}")
        except StateError:
            time.sleep(rng.random() / 500)
            continue
        for name in names:
            file = folder / f"{name}.owner"
            owner = int(file.read_text()) if file.exists() else None
            if owner is not None and processes._start_of(owner) is not None:
                os._exit(3)
            file.write_text(str(os.getpid()))
        if rng.random() < 0.1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(rng.random() / 500)
        for name in names:
            (folder / f"{name}.owner").unlink()
        held.release()
    os._exit(0)


def test_torture_two_at_a_time_and_some_are_killed(tmp_path):
    ends = []
    for pair in range(8):
        running = [FORK.Process(target=_torture, args=(tmp_path, 2 * pair + side, 15)) for side in range(2)]
        for process in running:
            process.start()
        for process in running:
            process.join()
            ends.append(process.exitcode)
    assert set(ends) == {0, -signal.SIGKILL}
    claim(tmp_path / "c", writes(tmp_path, "a", "b"), "the last one").release()
