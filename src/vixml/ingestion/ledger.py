"""The ledger of raw files: what each holds, what of it is taken, what is left out and why, and what was guessed.

Every reader writes into it, so that nothing a file holds is lost without a word: what is held must be what is taken and
what is left out, and a larger share of losses than `data.max_lost` stops a run.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vixml.core.directories import MANIFEST
from vixml.core.errors import DataError, shown

_log = logging.getLogger(__name__)

HARMLESS = frozenset(
    (
        "blank line",
        "header again",
        "header",
        "a remark behind #",
        "id again, same text",
        "listed again",
        "pair again",
        "beyond data.max_images_per_item",
        "of another split",
        "of value 0",
        "address, not downloaded",
        "no such file",
        "not ticked",
        "changed already",
    )
)
"""Reasons to leave out what nobody misses, or what a count of its own reports (missing images)."""

_IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".ppm")
_MOST_FILES = 50
_LONGEST = 90


@dataclass(frozen=True)
class Guess:
    """Something that was found out and may be wrong.

    Args:
        what: What was guessed.
        value: The guess.
        example: What it makes of the data.
        option: What changes it.
    """

    what: str
    value: str
    example: str
    option: str


@dataclass
class Entry:
    """What became of one raw file, or of one column of it.

    Args:
        file: The file, relative to the raw folder, perhaps with a column.
        unit: What is counted.
        held: How many the file holds.
        taken: How many are taken.
        left_out: How many are not, by reason.
        columns: Columns that are used.
        unused: Columns that are not.
        guesses: What was found out.
        notes: What is odd but not lost.
    """

    file: str
    unit: str = "rows"
    held: int = 0
    taken: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    columns: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    guesses: list[Guess] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def names(self, columns: Iterable[str], used: Iterable[str]) -> None:
        """Say which columns there are and which of them are used; may be said again for another part of the file."""
        wanted = {*used, *self.columns}
        found = list(dict.fromkeys([*self.columns, *self.unused, *columns]))
        self.columns = tuple(name for name in found if name in wanted)
        self.unused = tuple(name for name in found if name not in wanted)

    def move(self, why: str, number: int) -> None:
        """Leave out what was counted as taken."""
        self.taken -= number
        self.left_out[why] += number

    def report(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "file": self.file,
            "unit": self.unit,
            "held": self.held,
            "taken": self.taken,
            "left_out": {shown(why): number for why, number in sorted(self.left_out.items()) if number},
            "columns": [shown(name) for name in self.columns],
            "columns_not_used": [shown(name) for name in self.unused],
            "guesses": [{name: shown(value) for name, value in vars(guess).items()} for guess in self.guesses],
            "notes": self.notes,
        }


class Ledger:
    """The entries of all raw files of one reading.

    Args:
        root: Raw folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self.entries: dict[str, Entry] = {}
        self._used: set[Path] = set()
        self._pictures: set[str] | None = None

    def entry(self, file: Path, unit: str = "rows", *, of: str = "") -> Entry:
        """Return the entry of a file, a new one where there is none.

        Args:
            file: The file.
            unit: What is counted.
            of: The column, where it is about one.
        """
        self._used.add(file)
        name = f"{self._name(file)}, {of}" if of else self._name(file)
        return self.entries.setdefault(name, Entry(name, unit))

    def use(self, *files: Path) -> None:
        """Say that files are used that have no rows to count."""
        self._used.update(files)

    def name_pictures(self, names: Iterable[str]) -> None:
        """Say which pictures items name, as paths relative to the raw folder; what else is there is not used."""
        self._pictures = set(names)

    def balance(self) -> None:
        """Make sure that what the files hold is taken or left out.

        Raises:
            DataError: It is not; which is a fault of the program and not of the files.
        """
        for entry in self.entries.values():
            accounted = entry.taken + sum(entry.left_out.values())
            if entry.held != accounted or entry.taken < 0:
                raise DataError(
                    f"{entry.unit} of the file are neither taken nor left out",
                    file=entry.file,
                    found=f"{entry.held} held, {entry.taken} taken, {dict(entry.left_out)} left out",
                    remedy="please report this, with the file if you can.",
                )

    def unused_files(self) -> list[str]:
        """Return the files of the raw folder, two levels deep, that nothing was read from; of pictures the number.

        Of folders that are deeper only the name, where nothing of them is used.
        """
        if self._root is None or not self._root.is_dir():
            return []
        used = {os.path.realpath(file) for file in (*self._used, self._root / MANIFEST)}
        within = (file.relative_to(self._root) for file in self._used if file.is_relative_to(self._root))
        known = {"/".join(PurePosixPath(name).parts[:2]) for name in (*(self._pictures or ()), *map(str, within))}
        found, pictures = [], Counter[str]()
        for folder, folders, names in os.walk(self._root):
            is_top = Path(folder) == self._root
            if not is_top:
                deeper = (Path(folder, name).relative_to(self._root).as_posix() for name in folders if name[:1] != ".")
                found += [f"{shown(name)}/ (not looked at: too deep)" for name in deeper if name not in known]
                folders.clear()
            for name in sorted(names):
                file = Path(folder) / name
                if name[:1] == ".":
                    continue
                if name.lower().endswith(_IMAGES):
                    inside = name if is_top else f"{Path(folder).name}/{name}"
                    is_named = self._pictures is None or inside in self._pictures
                    pictures[Path(folder).relative_to(self._root).as_posix()] += not is_named
                elif os.path.realpath(file) not in used:
                    found.append(shown(file.relative_to(self._root).as_posix()))
        unnamed = [f"{shown(folder)} (pictures that no item names: {count:,})" for folder, count in (+pictures).items()]
        return sorted([*found, *unnamed])

    def report(self) -> dict[str, Any]:
        """Return the ledger as JSON: `files`, `files_not_used` and, where there are very many, how many more."""
        unused = self.unused_files()
        return {
            "files": [entry.report() for entry in self.entries.values()],
            "files_not_used": unused[:_MOST_FILES],
            "more_files_not_used": max(0, len(unused) - _MOST_FILES),
        }

    def _name(self, file: Path) -> str:
        inside = self._root is not None and file.is_relative_to(self._root)
        return shown((file.relative_to(self._root) if inside and self._root else Path(file.name)).as_posix())


def check_losses(report: Mapping[str, Any], limit: float) -> None:
    """Refuse to lose more than a share of any file.

    Args:
        report: A ledger's report.
        limit: Largest share, 0 to 1.

    Raises:
        DataError: More is lost; the reasons are named.
    """
    lost = _losses(report, limit)
    if any(lost.values()):
        raise DataError(
            f"more than a share of {limit:.3g} of the data would be lost (`data.max_lost`)",
            found="; ".join(said for said, too_many in lost.items() if too_many),
            remedy="correct the files or the mapping; or accept it: `data.max_lost`, `vixml init-data --max-lost 1`.",
        )


def warn_of_losses(report: Mapping[str, Any]) -> None:
    """Say what is left out and may be missed."""
    for said in _losses(report, 1.0):
        _log.warning("Left out of %s.", said)


def _losses(report: Mapping[str, Any], limit: float) -> dict[str, bool]:
    """Return what is left out and may be missed, as sentences, and whether it is more than a share of the file."""
    lost = {}
    for entry in report["files"]:
        why = Counter({reason: number for reason, number in entry["left_out"].items() if reason not in HARMLESS})
        if number := sum(why.values()):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in why.most_common(4))
            said = f"{entry['file']}: {number:,} of {entry['held']:,} {entry['unit']} ({reasons})"
            lost[said] = number > limit * entry["held"]
    return lost


def ledger_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return a ledger's report as rows to print: file, what became of it, what changes it."""
    rows = []
    for entry in report["files"]:
        left_out = entry["left_out"]
        counts = f"{entry['held']:,} {entry['unit']} held, {entry['taken']:,} taken"
        rows.append((entry["file"], counts + (f", {sum(left_out.values()):,} left out" if left_out else ""), ""))
        rows += [("", f"left out: {number:,} {why}", "") for why, number in left_out.items()]
        if entry["columns_not_used"]:
            rows.append(("", f"columns not used: {_joined(entry['columns_not_used'])}", ""))
        rows += [
            ("", f"{guess['what']}: {guess['value']} ({guess['example']})", guess["option"])
            for guess in entry["guesses"]
        ]
        rows += [("", note, "") for note in entry["notes"]]
    more = report.get("more_files_not_used", 0)
    rows += [(name, "NOT USED", "") for name in report["files_not_used"]]
    return [*rows, (f"{more:,} more files", "NOT USED", "")] if more else rows


def _joined(names: list[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 4 * _LONGEST else text[: 4 * _LONGEST] + " ..."


def shorten(text: object) -> str:
    """Return the beginning of an example on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."
