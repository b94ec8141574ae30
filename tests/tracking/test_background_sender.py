"""The background thread: order, losses, pauses, and an end that waits for so long and no longer."""

import threading

import pytest

from vixml.tracking.background_sender import BackgroundSender


@pytest.fixture
def gate():
    """An event that the test opens at its end at the latest, so that no thread hangs."""
    event = threading.Event()
    yield event
    event.set()


def test_jobs_are_done_in_order_and_closing_waits_for_them():
    done = []
    sender = BackgroundSender()
    for number in range(50):
        sender.send(lambda number=number: done.append(number))
    assert sender.close(30)
    assert done == list(range(50))


def test_a_failure_is_reported_once_and_stops_nothing(caplog):
    done, lost = [], []

    def fail():
        raise OSError("no space left, https://me:secret@example.org")

    sender = BackgroundSender()
    sender.send(fail, lambda: lost.append(1))
    sender.send(fail, lambda: lost.append(2))
    sender.send(lambda: done.append(3), lambda: lost.append(3))
    assert sender.close(30)
    assert (done, lost) == ([3], [1, 2])
    (warning,) = [record.getMessage() for record in caplog.records if "MLflow does not accept" in record.getMessage()]
    assert "sync_tracking" in warning
    assert "secret" not in warning


def test_after_a_failure_that_took_long_nothing_is_tried_for_a_while():
    tried, lost = [], []

    def fail():
        tried.append(1)
        raise TimeoutError

    sender = BackgroundSender(long=0.0, pause=1000.0)
    for number in range(5):
        sender.send(fail, lambda number=number: lost.append(number))
    assert sender.close(30)
    assert tried == [1]
    assert lost == [0, 1, 2, 3, 4]


def test_a_full_queue_drops_and_says_so(gate):
    began, done, lost = threading.Event(), [], []

    def wait():
        began.set()
        gate.wait(30)

    sender = BackgroundSender(capacity=1)
    sender.send(wait)
    assert began.wait(30)
    sender.send(lambda: done.append(1))
    sender.send(lambda: done.append(2), lambda: lost.append(2))
    assert lost == [2], "sending returned while the first job was still under way"
    gate.set()
    assert sender.close(30)
    assert done == [1]


def test_the_end_waits_no_longer_than_it_is_told(gate):
    sender = BackgroundSender()
    sender.send(lambda: gate.wait(30))
    assert not sender.close(0.0)


def test_a_watched_job_is_done_again_and_again_and_once_at_its_end():
    times, thrice = [], threading.Event()

    def look():
        times.append(1)
        if len(times) == 3:
            thrice.set()
        if len(times) == 1:
            raise ConnectionError

    sender = BackgroundSender(interval=0.001)
    sender.watch(look)
    assert thrice.wait(30)
    sender.unwatch(look)
    sender.send(lambda: times.append(-1))
    assert sender.close(30)
    assert times[-2:] == [1, -1]
