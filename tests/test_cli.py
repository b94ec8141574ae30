"""`--params`, whatever characters a path holds; and the rest of Kedro's command as it is."""

import click
import pytest
from click.testing import CliRunner
from kedro.framework.cli.project import run as kedro_run

from vixml import cli
from vixml.cli import read_params

NAMES = ["a,b", "a,b=c", "a b", "a #1", "50%", "what?", "a: b", "[x]", "ünï", "a,b,c", "{y}", "a & b", "it's"]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_exists_is_taken_as_it_is(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    found = read_params(f"seed=1,data_root={folder},prediction.queries={folder},encoder.training.epochs=3")
    assert found == {
        "seed": 1,
        "data_root": str(folder),
        "prediction": {"queries": str(folder)},
        "encoder": {"training": {"epochs": 3}},
    }


def test_the_longest_path_counts(tmp_path):
    for name in ("a", "a,b"):
        (tmp_path / name).mkdir()
    assert read_params(f"data_root={tmp_path}/a,b") == {"data_root": f"{tmp_path}/a,b"}
    assert read_params(f"data_root={tmp_path}/a,seed=2") == {"data_root": f"{tmp_path}/a", "seed": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ("seed=1", {"seed": 1}),
        ("seed=1, run_name=two words", {"seed": 1, "run_name": "two words"}),
        ("encoder_backbone=tiny,vision.model=tiny", {"encoder_backbone": "tiny", "vision": {"model": "tiny"}}),
        ("a.b=null,a.c=true,a.d=1e-3", {"a": {"b": None, "c": True, "d": 0.001}}),
        ("data_root=/nowhere/at all", {"data_root": "/nowhere/at all"}),
    ],
)
def test_other_values_are_read_as_before(text, expected):
    assert read_params(text) == expected


@pytest.mark.parametrize("text", ["seed", "data_root=/nowhere/a,b", "=1", "seed=1,,x=2"])
def test_a_part_without_a_name_or_value_is_told_with_what_to_do(text):
    with pytest.raises(click.UsageError, match=r"NAME=VALUE.*conf/local/parameters\.yml"):
        read_params(text)


def test_a_word_is_no_path_although_a_file_is_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").mkdir()
    assert read_params("seed=1") == {"seed": 1}


def test_kedros_command_is_otherwise_the_same():
    assert [param.name for param in cli.run.params] == [param.name for param in kedro_run.params]
    assert kedro_run.params[0] is not cli.run.params[0]
    ended = CliRunner().invoke(cli.cli, ["run", "--runner=Thread"])
    assert ended.exit_code == 2
    assert "there is no runner `Thread`" in ended.output
