"""An option of one value that is given twice is refused: the parsers of both command lines would keep the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def refuse_repeated(context: Any, given: Sequence[Any]) -> None:
    """End with a usage error if an option of one value was given several times.

    Args:
        context: Context of the command, of click or of typer.
        given: Its parameters in the order in which they were given, as its parser returns them.
    """
    for param in dict.fromkeys(given):
        takes_one = param.param_type_name == "option" and not (param.multiple or param.is_flag or param.count)
        if takes_one and given.count(param) > 1:
            name = param.opts[0]
            several = " Put all settings into one: --params NAME=VALUE,NAME=VALUE." if name == "--params" else ""
            context.fail(f"`{name}` takes one value and was given {given.count(param)} times.{several}")
