"""Several files that are one table: `links_2023.csv` and `links_2024.csv`, found by their names and what they hold."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from os.path import commonprefix
from pathlib import PurePosixPath

from vixml.ingestion.tables.profile import Profile

_PART = re.compile(r"([-_. ]\d{4}[-_]\d\d|[-_. ]\d{1,8}|[-_. ][a-z]|\d{1,8})(?=\.)", re.IGNORECASE)
_SAME = 0.05  # share of the rows that two parts of one table have in common, at most: more of them are copies


def parts_of_tables(profiles: Mapping[str, Profile], fixed: Iterable[str] = ()) -> dict[str, list[str]]:
    """Find tables in several files: of the same columns, called the same but for a number or letter, and no copies.

    Args:
        profiles: Tables by name.
        fixed: Names that the user gave, which stand for themselves.

    Returns:
        A pattern that names them and no other table -> their names.
    """
    groups: dict[tuple[str, frozenset[str]], list[str]] = defaultdict(list)
    for name, profile in profiles.items():
        if name not in fixed and not any(sign in name for sign in "*?["):
            path = PurePosixPath(name)
            stem = _PART.sub("", path.name, count=1)
            groups[str(path.parent / stem), frozenset(profile.columns)].append(name)
    found = {}
    for names in groups.values():
        pattern = _pattern(names)
        others = profiles.keys() - set(names)
        is_exact = pattern is not None and not any(fnmatchcase(other, pattern) for other in others)
        if pattern is not None and is_exact and _are_disjoint([profiles[name] for name in names]):
            found[pattern] = names
    return found


def _pattern(names: list[str]) -> str | None:
    if len(names) < 2:
        return None
    start = commonprefix(names)  # noqa: RUF071 - of letters, not of folders
    end = commonprefix([name[len(start) :][::-1] for name in names])[::-1]  # noqa: RUF071
    return f"{start}*{end}" if len(PurePosixPath(start + "x").name) > 1 else None


def _are_disjoint(tables: list[Profile]) -> bool:
    """Tell whether no two of the tables have the same rows, nor another row of the same id."""
    keys = [name for name, column in tables[0].columns.items() if column.is_key and column.says("id")]
    if not all(table.columns[name].is_key for table in tables for name in keys):
        keys = []
    seen: set[tuple[str, ...]] = set()
    for table in tables:
        columns = [table.columns[name].cells for name in keys[:1] or sorted(table.columns)]
        rows = {tuple(map(str, row)) for row in zip(*columns, strict=True)}
        if len(rows & seen) > _SAME * len(rows):
            return False
        seen |= rows
    return True
