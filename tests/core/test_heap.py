"""Freed memory goes back."""

from __future__ import annotations

from vixml.core import heap


def test_releasing_does_no_harm_and_needs_no_glibc(monkeypatch):
    kept = [bytes(1000) for _ in range(1000)]
    heap.release_memory()
    assert all(len(entry) == 1000 for entry in kept)
    monkeypatch.setattr(heap, "_trim", lambda: None)
    heap.release_memory()


def test_a_library_without_the_function(monkeypatch):
    class Other:
        def __init__(self, name):
            pass

    monkeypatch.setattr(heap.ctypes, "CDLL", Other)
    assert heap._trim.__wrapped__() is None
