"""The error family of ViXML, and the one place that turns errors into sentences for a user.

Whatever a user can cause ends in one of these: what was found, where, what was expected, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def shown(text: str) -> str:
    """Return a text that can be written anywhere; bytes of a file's name that are no UTF-8 come as `udce9`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class VixmlError(Exception):
    """Base of every error that a user of ViXML can cause.

    Args:
        what: One sentence on what is wrong.
        file: File or folder concerned.
        line: 1-based line in `file`.
        found: The offending value.
        expected: What would have been right.
        remedy: What the user can do now.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        found: object = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.file, self.line = what, file, line
        self.found, self.expected, self.remedy = found, expected, remedy
        super().__init__(self._compose())

    def _compose(self) -> str:
        parts = [self.what]
        if self.file is not None:
            where = str(self.file) if self.line is None else f"{self.file}, line {self.line}"
            parts[0] = f"{where}: {self.what}"
        if any(part is not None for part in (self.found, self.expected, self.remedy)) and parts[0][-1:] not in ".!?":
            parts[0] += "."
        if self.found is not None:
            text = str(self.found)
            parts.append(f"Found: {text if len(text) <= 200 else text[:200] + ' ...'}.")
        if self.expected is not None:
            parts.append(f"Expected: {self.expected}.")
        if self.remedy is not None:
            parts.append(f"What to do: {self.remedy}")
        return shown(" ".join(parts))

    def plain(self) -> str:
        """Return what is wrong and what to do for people who see neither files nor settings, as on the page."""
        found = "" if self.found is None else f": {self.found}"
        return " ".join(part[:1].upper() + part[1:] for part in (f"{self.what}{found}.", self.remedy or "") if part)


class DataError(VixmlError, ValueError):
    """A data file is missing, malformed or contradicts another one."""


class ConfigError(VixmlError, ValueError):
    """A parameter, a backbone name or a combination of settings cannot work."""


class StateError(VixmlError, RuntimeError):
    """An output on disk is missing, half-written, edited, or belongs to other settings."""


class StorageError(VixmlError, OSError):
    """A file cannot be written: the disk is full, a quota is used up, no permission, a read-only file system."""


def user_error(error: BaseException, *others: type[BaseException]) -> BaseException | None:
    """Return the error among `error` and its causes that has a remedy for the user, or None.

    Args:
        error: What was raised.
        others: Errors of other libraries that do so too.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, (VixmlError, *others)):
        seen = seen.__cause__
    return seen


def invalid_settings(error: ValidationError, what: str, *, remedy: str) -> ConfigError:
    """Return what a parameter model rejects as an error of ours, which names every wrong setting.

    Args:
        error: The model's error.
        what: What holds the settings, or what is wrong with them.
        remedy: What the user can do now.
    """
    reasons = []
    for one in error.errors(include_url=False):
        place = ".".join(map(str, one["loc"]))
        reasons.append(f"`{place}`: {one['msg']}" if place else str(one["msg"]))
    return ConfigError(f"{what}: {'; '.join(reasons)}", remedy=remedy)
