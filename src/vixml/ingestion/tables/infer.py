"""A first guess at which of a user's tables and columns is what, for `vixml init-data`.

Contents count for more than names: the table of pairs is the one whose columns repeat the keys of two others. Whatever
the user says (`choices`) stands.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import repeat
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vixml.core.errors import DataError, invalid_settings, shown
from vixml.ingestion.benchmark.recognise import TARGETS, labels_missing
from vixml.ingestion.parts import parts_of_tables
from vixml.ingestion.tables.doubts import warn_of_doubts
from vixml.ingestion.tables.files import is_table, read_table
from vixml.ingestion.tables.items import image_folder, is_url
from vixml.ingestion.tables.profile import Column, Profile, words_of
from vixml.ingestion.tables.separators import column_of_labels, label_separators
from vixml.params.data.mapping import MappingParams

CHOICES = (
    *("queries", "labels", "pairs"),
    *("test_queries", "validation_queries", "test_pairs", "validation_pairs"),
    *("query_id", "query_text", "query_images", "query_labels", "label_separators"),
    *("label_id", "label_text", "label_images"),
    *("pair_query", "pair_label", "pair_weight"),
    *("split_by", "split_column", "test_fraction"),
    *("delimiter", "encoding", "quoting"),
)
"""What a user may fix: files, columns, the split, and how CSV is written. `*_text` and `*_images` are lists;
`query_labels` and `label_separators` may be."""

FORMAT = ("delimiter", "encoding", "quoting")

_log = logging.getLogger(__name__)
_PART = re.compile(r"(\d+)-of-(\d+)")
_NUMBERED = re.compile(r"((?:^|[^A-Za-z])(?:part|shard|chunk)[-_.]?)\d+")
_ANY_SIGN = "|;,/:#^~<> \n\t"
_ENOUGH = 0.5  # share of a column's entries that must be keys of the other table
_NOT_A_USERS = (".", "__MACOSX", "~$", "Thumbs.db")
"""Beginnings of the names of what systems and programs leave among a user's files."""
_NOT_READ = (
    *(".xlsx", ".xls", ".ods", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz", ".orc"),
    *(".avro", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".npz", ".sqlite", ".db", ".xml", ".yaml", ".yml", ".sql"),
)
"""Endings of formats that often hold tables and are not read."""
_OFTEN_PROSE = (".txt", ".json", ".txt.gz", ".json.gz")
_NOT_TABLES = ("images", "groups", "img_urls", "downloaded", "attribution", "requirements", "readme")


@dataclass(frozen=True)
class _Reference:
    """A column whose entries are keys of another table."""

    column: Column
    table: Profile
    key: Column


def propose(folder: Path, choices: Mapping[str, Any] | None = None) -> MappingParams:
    """Guess the mapping of the tables in a folder.

    Args:
        folder: The tables, at its top or one level below.
        choices: What the user fixes, by a name of `CHOICES`; None values are ignored.

    Returns:
        The mapping; whether it is right is for the user to see and for ingestion to check.

    Raises:
        DataError: There is no table, one cannot be read, or no pairs can be found.
        ConfigError: The choices do not go together.
    """
    fixed = {name: value for name, value in (choices or {}).items() if value or value == ""}
    profiles, refused = _profiles(folder, fixed)
    parts = _other_sides(profiles, fixed)
    queries, labels, pairs = _roles({n: profile for n, profile in profiles.items() if n not in parts}, fixed)
    raw: dict[str, Any] = {"queries": _query_table(folder, queries, labels, pairs, fixed)}
    is_lacking = labels is None or raw["queries"]["text"] == [raw["queries"]["id"]]
    if refused and is_lacking and "queries" not in fixed:
        raise refused[0]  # it may be the table that is missing
    if labels is not None:
        raw["labels"] = _label_table(folder, queries, labels, pairs, raw, fixed)
    elif raw["queries"].get("labels") == TARGETS and "query_labels" not in fixed:
        raise labels_missing(folder / queries.name)
    if pairs is not None:
        raw["pairs"] = _pair_table(pairs, queries, labels, raw, fixed)
    for role, profile in (("queries", queries), ("pairs", pairs)):
        if profile is not None:
            raw[role].update(_files_of_other_sides(profile, role, [profiles[name] for name in parts], fixed))
    has_test = any("test_file" in raw[role] for role in ("queries", "pairs") if role in raw)
    raw["split"] = {"by": "file"} if has_test else _split(queries, pairs, fixed)
    for table in ("queries", "labels", "pairs"):
        if table in raw:
            raw[table].update({name: fixed[name] for name in FORMAT if name in fixed})
    warn_of_doubts(raw, profiles, labels_are_named="query_labels" in fixed)
    try:
        return MappingParams.model_validate(raw)
    except ValidationError as err:
        raise invalid_settings(err, "the choices do not go together", remedy="see docs/how-to/own_data.md.") from err


def _profiles(folder: Path, fixed: dict[str, Any]) -> tuple[dict[str, Profile], list[DataError]]:
    """Read the tables that may have a role: those that the user names, or all that can be read.

    Returns:
        The tables; and what is wrong with files that are tables by their names and cannot be read.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder", file=folder)
    how: dict[str, Any] = {name: fixed.get(name) for name in FORMAT}
    wanted = list(dict.fromkeys(fixed[name] for name in CHOICES[:7] if name in fixed))
    profiles = {name: Profile.of(name, read_table(folder / name, **how)) for name in wanted}
    refused: list[str] = []
    broken: list[DataError] = []
    for name in _candidates(folder):
        if name in profiles or any(fnmatch(name, pattern) for pattern in wanted):
            continue
        try:
            profiles[name] = Profile.of(name, read_table(folder / name, **how))
        except DataError as err:  # a licence or a description; where it is a table, no pairs will be found
            refused.append(str(err))
            if not name.lower().endswith(_OFTEN_PROSE):
                broken.append(err)
            _log.warning("Not used: %s", err)
    for pattern, names in parts_of_tables(profiles, wanted).items():
        _log.info("Read as one table: %s.", shown(", ".join(names)))
        profiles[pattern] = Profile.of(pattern, read_table(folder / pattern, **how))
        profiles = {name: profile for name, profile in profiles.items() if name not in names}
    if not profiles:
        raise DataError(
            "the folder holds no table",
            file=folder,
            found="; ".join(refused)
            or ", ".join(shown(path.name) for path in sorted(folder.iterdir())[:8])
            or "nothing",
            expected="CSV, TSV, Parquet or JSON lines",
        )
    return profiles, broken


def _candidates(folder: Path) -> list[str]:
    """Return the names of the files that may be tables, relative to the folder; parts of one table as one pattern."""
    names: dict[str, None] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(_NOT_A_USERS) for part in Path(name).parts):
            continue
        if path.is_file() and path.name.lower().endswith(_NOT_READ):
            _log.warning("Not used: %s; its format is not read. Unpack it, or export CSV or Parquet.", shown(name))
        if not path.is_file() or not is_table(path) or shown(name) != name:
            continue
        if path.name.split(".")[0].lower() not in _NOT_TABLES:
            name = _PART.sub(lambda match: f"{'?' * len(match[1])}-of-{match[2]}", name)
            names[_NUMBERED.sub(r"\1*", name)] = None
    return list(names)


def _other_sides(profiles: dict[str, Profile], fixed: dict[str, Any]) -> list[str]:
    """Return the tables of the test and validation side: of the columns of another one, by names that say so."""
    named = [fixed[name] for name in CHOICES[3:7] if name in fixed]
    if "split_by" in fixed:
        return named

    def is_side(profile: Profile) -> bool:
        return profile.says("test") or profile.says("validation")

    for name, profile in profiles.items():
        twins = [other for other in profiles.values() if _are_twins(other, profile)]
        if is_side(profile) and any(not is_side(twin) for twin in twins):
            named.append(name)
    return [name for name in dict.fromkeys(named) if name not in (fixed.get(role) for role in CHOICES[:3])]


def _files_of_other_sides(table: Profile, role: str, parts: list[Profile], fixed: dict[str, Any]) -> dict[str, str]:
    """Return the fields of the mapping that name the test part of a table and, beside it, the validation part."""
    found: dict[str, str] = {}
    for side in ("test", "validation"):
        twins = [part.name for part in parts if _are_twins(part, table) and part.says(side)]
        name = fixed.get(f"{side}_{role}") or next(iter(twins), None)
        if name is not None and (found or side == "test"):
            found[f"{side}_file"] = name
    return found


def _are_twins(one: Profile, other: Profile) -> bool:
    """Tell whether two tables have the same columns: parts of one, or copies."""
    return one is not other and set(one.columns) == set(other.columns)


def _are_copies(one: Profile, other: Profile) -> bool:
    """Tell whether two tables of the same columns also hold the same: nothing in one refers to the other then."""
    return _are_twins(one, other) and all(
        column.share_within(other.columns[name].values) >= _ENOUGH
        for name, column in one.columns.items()
        if column.sample
    )


def _references(profile: Profile, others: dict[str, Profile]) -> list[_Reference]:
    """Return for each other table the column of `profile` that best repeats a key of it; of two tables two columns."""
    options: dict[str, list[tuple[tuple[float, int, int], _Reference]]] = {}
    for other in others.values():
        if other is profile or _are_copies(other, profile):
            continue
        options[other.name] = [
            ((share, _affinity(column, other, key), -position), _Reference(column, other, key))
            for position, column in enumerate(profile.columns.values())
            if not (column.is_image or column.is_split or column.says("weight"))
            for key in other.keys
            if (share := _share(column, key)) >= _ENOUGH
        ]
    chosen: dict[str, _Reference] = {}
    # numbers of few labels are numbers of queries as well: the table with the fewest choices takes its column first
    for name in sorted(options, key=lambda name: len({reference.column.name for _, reference in options[name]})):
        taken = {reference.column.name for reference in chosen.values()}
        free = [option for option in options[name] if option[1].column.name not in taken] or options[name]
        if free:
            chosen[name] = max(free, key=lambda option: option[0])[1]
    return [chosen[name] for name in options if name in chosen]


def _share(column: Column, key: Column) -> float:
    """Return the share of a column's entries that are keys, whatever separates them."""
    share = column.share_within(key.values, "|;")
    if share < _ENOUGH:
        share = column.share_within(key.values, "|;,")
    if share < _ENOUGH and not column.says("text") and key.has_numbers:  # words of a text may be names of labels
        share = max(share, column.share_within(key.values, _ANY_SIGN))
    return share


def _affinity(column: Column, other: Profile, key: Column) -> int:
    """Return how many words the name of a column shares with a key and its table."""
    return len(words_of(column.name) & (words_of(key.name) | words_of(Path(other.name).name)))


def _roles(profiles: dict[str, Profile], fixed: dict[str, Any]) -> tuple[Profile, Profile | None, Profile | None]:
    """Return the tables of queries, labels and pairs; the last two may be None."""
    roles: dict[str, Profile | None] = {
        role: profiles[fixed[role]] if role in fixed else None for role in ("queries", "labels", "pairs")
    }
    free = {name: profile for name, profile in profiles.items() if profile not in roles.values()}
    references = {name: _references(profile, profiles) for name, profile in profiles.items()}
    if roles["pairs"] is None and "query_labels" not in fixed:
        roles["pairs"] = _find_pairs(free, references)
        free = {name: profile for name, profile in free.items() if profile is not roles["pairs"]}
    pairs = roles["pairs"]
    if pairs is not None:
        ends = [ref for ref in references[pairs.name] if ref.table not in (roles["queries"], roles["labels"])]
        if roles["queries"] is None and ends:
            ends.sort(key=_looks_like_label)
            roles["queries"] = ends.pop(0).table
        if roles["labels"] is None and ends:
            roles["labels"] = ends[-1].table
    if roles["queries"] is None:
        candidates = [profile for profile in free.values() if profile is not roles["labels"]]
        named = [profile for profile in candidates if set(_as_list(fixed.get("query_labels"))) <= set(profile.columns)]
        candidates = named or candidates  # where no table has the columns, reading them says so
        by_name = sorted(candidates, key=lambda p: (p.says("label"), not (p.says("query") or p.says("train"))))
        pointing = [profile for profile in by_name if references[profile.name]]
        roles["queries"] = next(iter(pointing or by_name), None)
    queries = roles["queries"]
    if queries is None:
        raise DataError("no table of queries was found", found=", ".join(profiles), remedy="name it: --queries FILE.")
    if roles["labels"] is None and pairs is None:
        ends = references[queries.name]
        if "query_labels" in fixed:  # other columns may refer to other tables
            own = {n: c for n, c in queries.columns.items() if n in _as_list(fixed["query_labels"])}
            ends = _references(Profile(queries.name, own), {n: p for n, p in profiles.items() if n != queries.name})
        roles["labels"] = max(ends, key=_looks_like_label).table if ends else None
    return queries, roles["labels"], pairs


def _looks_like_label(reference: _Reference) -> int:
    """Return how much more a reference speaks of labels than of queries."""
    names = (reference.column, reference.table, reference.key)
    return sum(name.says("label") - name.says("query") for name in names)


def _find_pairs(free: dict[str, Profile], references: dict[str, list[_Reference]]) -> Profile | None:
    """Return the table that repeats keys of two others, or of one other beside a label's name and without own key."""
    two = [profile for name, profile in free.items() if len({ref.column.name for ref in references[name]}) > 1]
    if two:
        return max(two, key=lambda profile: (profile.says("pair"), not profile.says("test"), -len(profile.columns)))
    for name, profile in free.items():
        if len(references[name]) == 1 and len(profile.columns) > 1:
            reference = references[name][0]
            own_key = any(key.name != reference.column.name and key.says("id") for key in profile.keys)
            repeats = profile.says("pair") or not reference.column.is_key
            if not own_key and repeats and _looks_like_label(reference) <= 0:
                return profile
    return None


def _item_table(folder: Path, profile: Profile, uid: str | None, fixed: dict[str, Any], kind: str) -> dict[str, Any]:
    text = fixed.get(f"{kind}_text") or profile.texts(kind, [uid] if uid else []) or [uid]
    if text == [None]:
        raise DataError(
            f"no column looks like the text of a {kind}",
            file=folder / profile.name,
            found=", ".join(profile.columns),
            remedy=f"name it: --{kind}-text COLUMN.",
        )
    images = fixed.get(f"{kind}_images") or profile.images()
    table: dict[str, Any] = {"file": profile.name, "id": uid, "text": list(text), "images": list(images)}
    entries = [entry for name in images if name in profile.columns for entry in profile.columns[name].entries("|;")]
    table["image_folder"] = image_folder(folder, [entry for entry in entries if not is_url(entry)])
    return table


def _query_table(
    folder: Path, queries: Profile, labels: Profile | None, pairs: Profile | None, fixed: dict[str, Any]
) -> dict[str, Any]:
    uid = fixed.get("query_id") or _referenced_key(pairs, queries) or queries.best_id()
    table: dict[str, Any] = {}
    if pairs is None:
        chosen = _as_list(fixed.get("query_labels")) or [_labels_column(queries, labels, uid)]
        signs = [label_separators(queries.columns[n], labels) if n in queries.columns else "|" for n in chosen]
        signs = _as_list(fixed.get("label_separators")) or signs
        table["labels"] = chosen if len(chosen) > 1 else chosen[0]
        table["label_separators"] = signs if len(set(signs)) > 1 else signs[0]
    without = set(_as_list(table.get("labels"))) - set(fixed.get("query_text", ()))
    rest = Profile(queries.name, {name: column for name, column in queries.columns.items() if name not in without})
    return {**_item_table(folder, rest, uid, fixed, "query"), **table}


def _label_table(
    folder: Path, queries: Profile, labels: Profile, pairs: Profile | None, raw: dict[str, Any], fixed: dict[str, Any]
) -> dict[str, Any]:
    uid = fixed.get("label_id") or _referenced_key(pairs, labels)
    if uid is None and pairs is None:
        names, signs = _as_list(raw["queries"]["labels"]), raw["queries"]["label_separators"]
        each = zip(
            names, repeat(signs) if isinstance(signs, str) else signs, strict=False
        )  # its length is checked later
        known = [(queries.columns[name], separators) for name, separators in each if name in queries.columns]
        shares = {key.name: sum(c.share_within(key.values, between) for c, between in known) for key in labels.keys}
        uid = max(shares, key=shares.__getitem__, default=None)
    return _item_table(folder, labels, uid or labels.best_id() or next(iter(labels.columns)), fixed, "label")


def _referenced_key(pairs: Profile | None, table: Profile) -> str | None:
    """Return the key of `table` that the table of pairs repeats."""
    found = _references(pairs, {table.name: table}) if pairs is not None else []
    return found[0].key.name if found else None


def _labels_column(queries: Profile, labels: Profile | None, uid: str | None) -> str:
    """Return the column of the query table that lists the labels."""
    if labels is not None:
        references = _references(queries, {labels.name: labels})
        if references:
            return references[0].column.name
    return column_of_labels(queries, uid)


def _as_list(choice: Any) -> list[str]:
    return [choice] if isinstance(choice, str) else list(choice or ())


def _pair_table(
    pairs: Profile, queries: Profile, labels: Profile | None, raw: dict[str, Any], fixed: dict[str, Any]
) -> dict[str, Any]:
    known = {ref.table.name: ref.column.name for ref in _references(pairs, {p.name: p for p in (queries, labels) if p})}
    query = fixed.get("pair_query") or known.get(queries.name)
    weight = next((n for n, c in pairs.columns.items() if c.says("weight") and c.is_weight), None)
    label = fixed.get("pair_label") or (known.get(labels.name) if labels else None)
    if label is None:
        left = [n for n, c in pairs.columns.items() if n not in (query, weight) and not (c.is_split or c.is_image)]
        label = next(iter(sorted(left, key=lambda name: not pairs.columns[name].says("label"))), None)
    if query is None or label is None:
        raise DataError(
            "the columns of the pairs were not recognised",
            file=pairs.name,
            found=", ".join(pairs.columns),
            remedy="name them: --pair-query COLUMN --pair-label COLUMN.",
        )
    return {"file": pairs.name, "query": query, "label": label, "weight": fixed.get("pair_weight") or weight}


def _split(queries: Profile, pairs: Profile | None, fixed: dict[str, Any]) -> dict[str, Any]:
    fraction = {"test_fraction": fixed["test_fraction"]} if "test_fraction" in fixed else {}
    if "split_by" in fixed and fixed["split_by"] != "column":
        return {"by": fixed["split_by"], **fraction}
    columns = [c.name for p in (queries, pairs) if p for c in p.columns.values() if c.is_split]
    column = fixed.get("split_column") or next(iter(columns), None)
    return {"by": "column", "column": column} if column and not fraction else {"by": "hash", **fraction}
