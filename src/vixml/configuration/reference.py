"""The configuration reference, written from the parameter models themselves.

`python -m vixml.configuration.reference docs/reference/configuration.md` writes the page; a test fails where page and
models differ.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from vixml.configuration.layers import at
from vixml.configuration.sections import PROJECT_DEFAULTS, model_of, sections
from vixml.params.base import Params

_HEAD = """# Configuration reference

<!-- Written by `python -m vixml.configuration.reference docs/reference/configuration.md`: edit the models instead. -->

Every setting is a runtime parameter: `kedro run --params "SECTION.NAME=VALUE"`. Later values override earlier ones:
defaults (below) < recipe < files (base, environment) < command line, and within each of them family < variant.
`encoder` stands for both families (`encoder`, `decoder`) and for the four variants. `vixml settings` prints every
setting in force and where it comes from."""

_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def render() -> str:
    """Return the reference as Markdown: one table a group of settings."""
    lines = [_HEAD]
    for section, model in sections().items():
        for path, group in _groups(section, model):
            lines += ["", f"## `{path}`", "", _first(group.__doc__), ""]
            lines += ["| setting | type | range | default | effect |", "|---|---|---|---|---|"]
            lines += [_row(path, name, field) for name, field in group.model_fields.items() if model_of(field) is None]
    return "\n".join(lines) + "\n"


def _groups(path: str, model: type[Params]) -> Iterator[tuple[str, type[Params]]]:
    if any(model_of(field) is None for field in model.model_fields.values()):
        yield path, model
    for name, field in model.model_fields.items():
        below = model_of(field)
        if below is not None:
            yield from _groups(f"{path}.{name}", below)


def _row(path: str, name: str, field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(constraint, attribute):,}"
        for constraint in field.metadata
        for attribute, sign in _SIGNS.items()
        if getattr(constraint, attribute, None) is not None
    ]
    cells = [f"`{name}`", _type(field.annotation), ", ".join(limits)]
    in_project, default = at(PROJECT_DEFAULTS, f"{path}.{name}")
    cells += [f"`{default}`" if in_project else _default(field), field.description or ""]
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any) -> str:
    if annotation is type(None):
        return "null"
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) in (tuple, list):
        return f"list of {_type(typing.get_args(annotation)[0])}"
    if typing.get_origin(annotation) is dict:
        return "mapping"
    return str(getattr(annotation, "__name__", annotation))


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"`{list(default)}`"
    return f"`{default}`"


def _first(doc: str | None) -> str:
    return (doc or "").strip().split("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
