"""Freed memory goes back."""

from __future__ import annotations

from vixml.core import memory


def test_releasing_does_no_harm_and_needs_no_glibc(monkeypatch):
    kept = [bytes(1000) for _ in range(1000)]
    memory.release_memory()
    assert all(len(entry) == 1000 for entry in kept)
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.release_memory()


def test_a_library_without_the_function(monkeypatch):
    class Other:
        def __init__(self, name):
            pass

    monkeypatch.setattr(memory.ctypes, "CDLL", Other)
    assert memory._trim.__wrapped__() is None
