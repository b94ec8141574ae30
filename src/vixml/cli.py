"""What this project changes of Kedro's own command line: `--params` takes paths as they are, and mistakes are found.

A runner that does not exist and an option of one value that is given twice are refused.

Kedro looks for its extensions in a module of this name; the command `vixml` is in `vixml.commands`.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.utils import load_obj
from omegaconf import OmegaConf

from vixml.configuration.layers import nested
from vixml.configuration.recipes import overlay
from vixml.terminal.once import refuse_repeated


def read_params(text: str) -> dict[str, Any]:
    """Return the settings of `--params`: `NAME=VALUE,NAME=VALUE`, with dots in names for groups.

    Commas separate settings; but where what follows `=` up to a later comma is a file or folder that exists, it is
    taken as it is, whatever characters it holds. Other values are read as YAML.

    Raises:
        click.UsageError: A part has no `=` or no name.
    """
    parts = text.split(",") if text.strip() else []
    values: list[str] = []
    paths: dict[str, Any] = {}
    while parts:
        count = next((n for n in range(len(parts), 0, -1) if _is_path(",".join(parts[:n]))), 0)
        item = ",".join(parts[: count or 1]).strip()
        del parts[: count or 1]
        name, equals, value = (part.strip() for part in item.partition("="))
        if not name or not equals:
            raise click.UsageError(
                f"`--params` is read as NAME=VALUE,NAME=VALUE, and `{item}` does not have this form. A value may "
                "contain a comma only if it is the path of an existing file or folder; otherwise put the setting into "
                "a file, for instance conf/local/parameters.yml."
            )
        if count:
            paths = overlay(paths, nested(name.split("."), value))
        else:
            values.append(f"{name}={value}")
    found: Any = OmegaConf.to_container(OmegaConf.from_dotlist(values))
    return overlay(found, paths)


def _is_path(item: str) -> bool:
    """Return whether `NAME=VALUE` names something on the disk; a bare word like `tiny` is no path."""
    value = item.partition("=")[2].strip()
    try:
        return any(sign in value for sign in "/\\,") and Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _params(context: click.Context, option: click.Parameter, value: Any) -> Any:
    return value if isinstance(value, dict) else read_params(value or "")


def _runner(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    try:
        if value:
            load_obj(value, "kedro.runner")
    except (AttributeError, ImportError, ValueError) as err:
        raise click.BadParameter(f"there is no runner `{value}`; leave the option out.") from err
    return value


class _Once(click.Command):
    """A command whose options of one value are given once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of the command line, after a look at what is given twice."""
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        refuse_repeated(ctx, given)
        return super().parse_args(ctx, args)


def _with_callbacks(command: click.Command, callbacks: dict[str, Any]) -> click.Command:
    changed = copy.copy(command)
    changed.__class__ = _Once  # what Kedro's command holds stays as it is
    changed.params = [copy.copy(param) for param in command.params]
    for param in changed.params:
        param.callback = callbacks.get(param.name or "", param.callback)
    return changed


run = _with_callbacks(kedro_run, {"params": _params, "runner": _runner})


@click.group(name="vixml")
def cli() -> None:
    """Commands of this project."""


cli.add_command(run)
