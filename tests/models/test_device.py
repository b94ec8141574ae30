"""The device of a run: what there is, and an error for what there is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vixml.core.errors import ConfigError
from vixml.models.device import resolve_device, send


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert resolve_device("auto").type == ("cuda" if there else "cpu")


@pytest.mark.parametrize(("name", "message"), [("tpu9", "unknown device"), ("cuda:0", "no usable GPU")])
def test_what_is_not_there_is_named(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        resolve_device(name)


def test_an_array_is_sent_as_it_is() -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.testing.assert_array_equal(send(array, resolve_device("cpu")).numpy(), array)
