"""What a proposed mapping leaves aside although it looks like data: each is an error or a warning, never silence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

from vixml.core.errors import DataError, shown
from vixml.data.ids import canonical_id
from vixml.ingestion.tables.profile import Column, Profile
from vixml.ingestion.tables.separators import looks_like_list

_log = logging.getLogger(__name__)
_BINARY = frozenset(("0", "1"))


def warn_of_doubts(raw: Mapping[str, Any], profiles: Mapping[str, Profile], *, labels_are_named: bool) -> None:
    """Look at what the mapping does not use.

    Args:
        raw: The proposed mapping, as `MappingParams` takes it.
        profiles: All tables of the folder, by name.
        labels_are_named: Whether the user named the columns of labels.

    Raises:
        DataError: A first line is a row and no header, or the labels stand in many columns of 0 and 1.
    """
    tables = {role: raw[role] for role in ("queries", "labels", "pairs") if role in raw}
    _refuse_headerless(tables, profiles)
    queries = tables["queries"]
    if not labels_are_named:
        _refuse_indicators(queries, profiles[queries["file"]])
    files = ("file", "test_file", "validation_file")
    used = {table[name] for table in tables.values() for name in files if table.get(name)}
    for name, profile in profiles.items():
        if name not in used and not any(fnmatch(name, pattern) for pattern in used):
            _log.warning("Not used: %s, %s.", shown(name), _described(profile))
    for table in tables.values():
        _warn_of_columns(table, profiles[table["file"]], labels_are_named=labels_are_named)
    if queries["text"] == [queries["id"]]:
        _log.warning(
            "The queries of %s have no text but their id (column %s). If another table holds their texts, its ids are "
            "written otherwise: %s.",
            shown(queries["file"]),
            shown(queries["id"]),
            _first(profiles[queries["file"]].columns.get(queries["id"])),
        )


def _refuse_headerless(tables: Mapping[str, Mapping[str, Any]], profiles: Mapping[str, Profile]) -> None:
    """Refuse a table whose column of ids is called like an id: its first line is a row."""
    ids = {
        role: profiles[tables[role]["file"]].columns.get(tables[role].get("id") or "")
        for role in ("queries", "labels")
        if role in tables
    }
    columns = [(tables[role]["file"], column.name, column) for role, column in ids.items() if column is not None]
    pairs = tables.get("pairs")
    if pairs is not None:
        columns += [
            (pairs["file"], pairs[name], ids[role])  # type: ignore[misc]
            for name, role in (("query", "queries"), ("label", "labels"))
            if ids.get(role) is not None
        ]
        named = profiles[pairs["file"]].columns
        columns += [
            (tables[role]["file"], column.name, named[pairs[name]])
            for name, role in (("query", "queries"), ("label", "labels"))
            if (column := ids.get(role)) is not None and pairs[name] in named
        ]
    for file, name, column in columns:
        if canonical_id(name) in column.values and any(map(str.isdigit, name)):  # `tag` may be a tag
            raise DataError(
                "the first line is a row and not the names of the columns",
                file=file,
                line=1,
                found=f"{name}, which is an id",
                expected="a first line of names, such as id and title",
                remedy="write one above the rows.",
            )


def _refuse_indicators(queries: Mapping[str, Any], profile: Profile) -> None:
    """Refuse to take one column of 0 and 1 for the labels where there are several."""
    named = [profile.columns[name] for name in _names(queries.get("labels")) if name in profile.columns]
    column = next((column for column in named if column.values <= _BINARY), None)
    if column is None:
        return
    others = [c.name for c in profile.columns.values() if c is not column and c.values and c.values <= _BINARY]
    if others:
        raise DataError(
            "each label seems to have its own column of 0 and 1",
            file=profile.name,
            found=", ".join([column.name, *others[:8]]),
            expected="one column that lists the labels of a row",
            remedy="write such a column, for instance the names of the columns that are 1, joined by |; or say that "
            f"{column.name} alone is meant: --query-labels.",
        )


def _warn_of_columns(table: Mapping[str, Any], profile: Profile, *, labels_are_named: bool) -> None:
    """Name the columns that look like pictures or labels and are not used, and texts that are web pages."""
    for name in table.get("text", ()):
        if name in profile.columns and profile.columns[name].is_html:
            _log.warning(
                "The column %s of %s has HTML tags (%s), which are read as words; better remove them from the file.",
                shown(name),
                shown(profile.name),
                _first(profile.columns[name]),
            )
    used = {table.get(name) for name in ("id", "query", "label", "weight")}
    used |= {*table.get("text", ()), *table.get("images", ()), *_names(table.get("labels"))}
    for column in profile.columns.values():
        if column.name in used:
            continue
        if column.is_repeated and column.says("id"):
            _log.warning(
                "Not used: %s of %s is the name of several columns whose ids differ; leave one.",
                shown(column.name),
                shown(profile.name),
            )
        elif column.says("image") and column.sample and not column.is_number:
            _log.warning(
                "Not used: the column %s of %s, which looks like images but names no image file: %s. Write paths or "
                "URLs with their endings (.jpg, .png, ...).",
                shown(column.name),
                shown(profile.name),
                _first(column),
            )
        elif table.get("labels") and column.sample and column.says("label") and not column.says("id"):
            _log.warning(
                "Not used: the column %s of %s, which looks like labels (%s); the labels are read from %s alone. Name "
                "all columns of labels, each with its option: --query-labels COLUMN --query-labels COLUMN.",
                shown(column.name),
                shown(profile.name),
                _first(column),
                shown(", ".join(_names(table["labels"]))),
            )
        elif table.get("labels") and not labels_are_named and _is_unnamed_list(column):
            _log.warning(
                "Not used: the column %s of %s (%s). If it lists labels, name all columns of labels, each with its "
                "option (--query-labels %s --query-labels %s); if it is text, name all texts: --query-text COLUMN.",
                shown(column.name),
                shown(profile.name),
                _first(column),
                shown(" --query-labels ".join(_names(table["labels"]))),
                shown(column.name),
            )
        elif table.get("query") and (column.says("weight") or column.is_weight) and not column.says("id"):
            _log.warning(
                "Not used: the column %s of %s, which may say how much a pair counts (%s); %s. Name it: --pair-weight.",
                shown(column.name),
                shown(profile.name),
                _first(column),
                f"the column {shown(table['weight'])} is taken" if table.get("weight") else "every pair counts 1",
            )
    for name, why in profile.odd.items():
        _log.warning("Not used: the column %s of %s, which holds %s.", shown(name), shown(profile.name), why)


def _is_unnamed_list(column: Column) -> bool:
    """Return whether a column holds lists by its contents, whatever its name says."""
    return bool(column.sample) and not (column.says("text") or column.is_split) and looks_like_list(column)


def _names(labels: str | list[str] | None) -> list[str]:
    return [labels] if isinstance(labels, str) else labels or []


def _described(profile: Profile) -> str:
    count = max((len(column.cells) for column in profile.columns.values()), default=0)
    return f"a table of {count:,} rows ({shown(', '.join(profile.columns))[:160]})"


def _first(column: Column | None) -> str:
    cell = column.sample[0] if column is not None and column.sample else ""
    return shown(str(cell))[:80]
