import json
import threading

import pytest

from vixml.tracking.mirror import CurveMirror


@pytest.fixture
def file(tmp_path):
    return tmp_path / "curve.jsonl"


def write(file, *steps, loss=1.0):
    file.write_text("".join(json.dumps({"step": s, "epoch": s // 2, "loss": loss}) + "\n" for s in steps))


def steps(points, name="loss"):
    return [step for series, _, step in points if series == name]


def test_every_point_arrives_once_and_in_order(file):
    got = []
    mirror = CurveMirror(file, lambda points: got.extend(points) or True)
    write(file, 1, 2)
    mirror.flush()
    write(file, 1, 2, 3)
    mirror.flush()
    mirror.flush()
    assert steps(got) == [1, 2, 3]
    assert steps(got, "epoch") == [1, 2, 3]


def test_a_curve_that_was_cut_back_is_not_delivered_twice(file):
    got = []
    mirror = CurveMirror(file, lambda points: got.extend(points) or True)
    write(file, 1, 2, 3)
    mirror.flush()
    write(file, 1, 2, loss=9.0)
    mirror.flush()
    write(file, 1, 2, 3, 4, loss=9.0)
    mirror.flush()
    assert steps(got) == [1, 2, 3, 4]


def test_two_records_of_one_step_both_arrive(file):
    got = []
    mirror = CurveMirror(file, lambda points: got.extend(points) or True)
    write(file, 1)
    mirror.flush()
    with file.open("a") as stream:
        stream.write('{"step": 1, "validation/P@1": 0.5}\n')
    mirror.flush()
    assert got[-1] == ("validation/P@1", 0.5, 1)


def test_what_could_not_be_delivered_comes_with_the_next_batch(file):
    got, alive = [], False
    mirror = CurveMirror(file, lambda points: alive and (got.extend(points) or True))
    write(file, 1, 2)
    mirror.flush()
    alive = True
    write(file, 1, 2, 3)
    mirror.flush()
    assert steps(got) == [1, 2, 3]


def test_the_thread_follows_the_file_and_ignores_what_was_there_before(file):
    write(file, 1, 2, 3)
    arrived, got = threading.Event(), []

    def deliver(points):
        got.extend(points)
        arrived.set()
        return True

    mirror = CurveMirror(file, deliver, interval=0.01)
    mirror.start()
    write(file, 1, loss=5.0)  # the training begins anew
    assert arrived.wait(10)
    write(file, 1, 2, loss=5.0)
    mirror.stop()
    mirror.stop()
    assert steps(got) == [1, 2]
    assert {value for name, value, _ in got if name == "loss"} == {5.0}


def test_no_file_is_no_error(file):
    mirror = CurveMirror(file, lambda points: pytest.fail("nothing to deliver"), interval=0.01)
    mirror.start()
    mirror.stop()
