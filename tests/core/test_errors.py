"""Errors as sentences: which one a user sees, in full, plainly, and of a parameter model."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from vixml.core.errors import ConfigError, DataError, invalid_settings, user_error
from vixml.params.evaluation import EvaluationParams


def _chained(cause: Exception) -> Exception:
    try:
        raise RuntimeError("the framework failed") from cause
    except RuntimeError as err:
        return err


def test_the_sentence_says_where_what_and_what_to_do():
    error = DataError("no id", file="q.csv", line=3, found="", expected="an id", remedy="fill it.")
    assert str(error) == "q.csv, line 3: no id. Found: . Expected: an id. What to do: fill it."


def test_the_plain_sentence_leaves_files_out():
    assert DataError("the image cannot be read", file="x", found="corrupt", remedy="use a PNG.").plain() == (
        "The image cannot be read: corrupt. Use a PNG."
    )
    assert DataError("no text").plain() == "No text."


def test_a_user_sees_the_error_that_caused_another_librarys():
    cause = DataError("no id")
    assert user_error(cause) is cause
    assert user_error(_chained(cause)) is cause
    assert user_error(_chained(KeyError("x"))) is None
    other = KeyError("x")
    assert user_error(_chained(other), KeyError) is other


def test_every_setting_that_a_model_rejects_is_named():
    with pytest.raises(ValidationError) as caught:
        EvaluationParams.model_validate({"top_k": 0, "propensity": 1})
    error = invalid_settings(caught.value, "the file", remedy="see the docs.")
    assert isinstance(error, ConfigError)
    for part in ("the file: `top_k`: ", "`propensity`: ", "What to do: see the docs."):
        assert part in str(error)
