"""An option of one value, given twice, on both command lines: the first value is not dropped in silence."""

from __future__ import annotations

from contextlib import nullcontext

import click
import pytest
from click.testing import CliRunner
from typer.testing import CliRunner as TyperRunner

from vixml import cli
from vixml.commands import app
from vixml.terminal.once import refuse_repeated


@click.command()
@click.option("--one")
@click.option("--many", multiple=True)
@click.option("--switch", is_flag=True)
@click.argument("rest", nargs=-1)
def command(**_: object) -> None:
    """Take options of each kind."""


@pytest.mark.parametrize(
    ("words", "is_refused"),
    [
        (["--one=1", "--many=1", "--many=2", "--switch", "--switch", "a", "a"], False),
        (["--one=1", "--one=1"], True),
        (["--one", "1", "--many=1", "--one=2"], True),
    ],
)
def test_only_options_of_one_value_are_refused(words, is_refused):
    context = click.Context(command)
    _, _, order = command.make_parser(context).parse_args(list(words))
    expected = pytest.raises(click.UsageError, match="`--one` takes one value and was given 2 times")
    with expected if is_refused else nullcontext():
        refuse_repeated(context, order)


def test_a_column_given_twice_is_refused(project, tmp_path):
    ended = TyperRunner().invoke(app, ["init-data", str(tmp_path), "--query-id", "a", "--query-id", "b"])
    assert ended.exit_code == 2
    assert "takes one value" in " ".join(ended.output.split())


@pytest.mark.parametrize("option", ["--params", "--env"])
def test_settings_given_twice_are_refused(option):
    ended = CliRunner().invoke(cli.run, [option, "seed=1", option, "run_name=x"])
    assert ended.exit_code == 2
    assert f"`{option}` takes one value and was given 2 times" in ended.output
    assert ("NAME=VALUE,NAME=VALUE" in ended.output) == (option == "--params")
