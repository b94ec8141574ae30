import json

import pytest

from vixml.tracking.curve_uploader import CurveUploader


@pytest.fixture
def file(tmp_path):
    return tmp_path / "curve.jsonl"


def write(file, *steps, loss=1.0):
    file.write_text("".join(json.dumps({"step": s, "epoch": s // 2, "loss": loss}) + "\n" for s in steps))


def steps(points, name="epoch/loss"):
    return [step for series, _, step in points if series == name]


def test_every_point_arrives_once_and_in_order(file):
    got = []
    uploader = CurveUploader(file, got.extend)
    write(file, 1, 2)
    uploader.flush()
    write(file, 1, 2, 3)
    uploader.flush()
    uploader.flush()
    assert steps(got) == [1, 2, 3]
    assert steps(got, "epoch") == [], "an epoch is an axis, not a series: it would be the first chart"


def test_a_curve_that_was_cut_back_is_not_delivered_twice(file):
    got = []
    uploader = CurveUploader(file, got.extend)
    write(file, 1, 2, 3)
    uploader.flush()
    write(file, 1, 2, loss=9.0)
    uploader.flush()
    write(file, 1, 2, 3, 4, loss=9.0)
    uploader.flush()
    assert steps(got) == [1, 2, 3, 4]


def test_two_records_of_one_step_both_arrive(file):
    got = []
    uploader = CurveUploader(file, got.extend)
    write(file, 1)
    uploader.flush()
    with file.open("a") as stream:
        stream.write('{"step": 1, "validation/P@1": 0.5}\n')
    uploader.flush()
    assert got[-1] == ("validation/P@1", 0.5, 1)


def test_what_could_not_be_delivered_comes_with_the_next_batch(file):
    got, alive = [], False

    def deliver(points):
        if not alive:
            raise ConnectionError
        got.extend(points)

    uploader = CurveUploader(file, deliver)
    write(file, 1, 2)
    with pytest.raises(ConnectionError):
        uploader.poll()
    alive = True
    uploader.poll()
    write(file, 1, 2, 3)
    uploader.poll()
    assert steps(got) == [1, 2, 3]


def test_what_was_there_before_is_left_until_the_file_changes(file):
    got = []
    write(file, 1, 2, 3)
    uploader = CurveUploader(file, got.extend)
    uploader.skip_what_is_there()
    uploader.poll()
    assert got == []
    write(file, 1, loss=5.0)  # the training begins anew
    uploader.poll()
    write(file, 1, 2, loss=5.0)
    uploader.poll()
    assert [(step, value) for name, value, step in got if name == "epoch/loss"] == [(1, 5.0), (2, 5.0)]


def test_no_file_is_no_error(file):
    uploader = CurveUploader(file, lambda points: pytest.fail("nothing to deliver"))
    uploader.skip_what_is_there()
    uploader.poll()
    uploader.flush()


def test_a_look_reads_only_what_is_new(file):
    got = []
    uploader = CurveUploader(file, got.extend)
    write(file, 1, 2)
    uploader.poll()
    with file.open("r+b") as stream:  # damaged behind the back: who read it again would end at it
        stream.write(b"x")
    with file.open("a") as stream:
        stream.write('{"step": 3, "loss": 1.0}\n{"step": 4, "lo')
    uploader.poll()
    assert steps(got) == [1, 2, 3]
    with file.open("a") as stream:
        stream.write('ss": 1.0}\n')
    uploader.poll()
    assert steps(got) == [1, 2, 3, 4]


@pytest.mark.parametrize("longer", [True, False])
def test_another_file_in_its_place_is_read_from_the_start(file, longer):
    """Longer or shorter than what was delivered: a resumed training drops records and writes them again."""
    got = []
    uploader = CurveUploader(file, got.extend)
    write(file, 1, 2, 3)
    uploader.poll()
    write(file, 1, 2, loss=1.25)
    if longer:
        write(file, 1, 2, 3, 4, loss=1.25)
    uploader.poll()
    write(file, 1, 2, 3, 4, 5, loss=1.25)
    uploader.poll()
    assert steps(got) == [1, 2, 3, 4, 5]


def test_nothing_is_delivered_from_behind_a_damaged_line(file):
    got = []
    uploader = CurveUploader(file, got.extend)
    write(file, 1)
    with file.open("a") as stream:
        stream.write('damaged\n{"step": 2, "loss": 1.0}\n')
    uploader.poll()
    with file.open("a") as stream:
        stream.write('{"step": 3, "loss": 1.0}\n')
    uploader.poll()
    assert steps(got) == [1], "as whoever reads the whole file sees it"
