"""Stopping between two steps."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from vixml.core.signals import EXIT_STOPPED, Stopped, StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_does_what_it_always_did(number, monkeypatch, capfd):
    class Interrupted(Exception):
        pass

    def interrupt(number, frame):
        raise Interrupted

    earlier = signal.signal(number, interrupt)
    try:
        with StopRequest() as stop:
            assert stop.received is None
            os.kill(os.getpid(), number)
            assert stop.received == number.name
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is interrupt
        assert f"{number.name}: stopping after this step" in capfd.readouterr().err
    finally:
        signal.signal(number, earlier)


def test_handlers_are_put_back_and_ignored_signals_stay_ignored():
    earlier = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Set here: a shell starts its background jobs with SIGINT ignored.
    before, interrupt = signal.getsignal(signal.SIGINT), signal.default_int_handler
    signal.signal(signal.SIGINT, interrupt)
    try:
        with StopRequest():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is not interrupt
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGTERM, earlier)
        signal.signal(signal.SIGINT, before)


def test_another_thread_changes_no_handler():
    before, inside = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopRequest():
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


def test_no_except_exception_swallows_the_end():
    assert not issubclass(Stopped, Exception)
    assert Stopped().code == EXIT_STOPPED == 75
