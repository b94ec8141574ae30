"""The command `vixml`: what it passes on to Kedro, what it prints, and how it fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from tests.processes import run_command
from typer.testing import CliRunner

from vixml.commands import app, main

TABLE = "id;title;tags\n" + "".join(f"{i:03d};a text of {i};red|tag {i % 3}\n" for i in range(30))


def call(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "items.csv").write_text(TABLE, encoding="utf-8")
    return folder


def test_every_option_of_every_command_is_described():
    commands = typer.main.get_command(app).commands
    bare = [
        f"{name} {option.opts[0]}" for name, command in commands.items() for option in command.params if not option.help
    ]
    assert bare == []
    assert len(commands) > 5


def test_init_data_prints_what_it_found_and_writes_an_environment(project, shop):
    ended = call("init-data", shop, "--name", "shop", "--split-by", "last", "--test-fraction", 0.5)
    assert ended.exit_code == 0, ended.output
    for printed in (
        "items.csv",
        "tags",
        "--query-text COLUMN",
        "15, 0 naming an image",
        "validation items",
        "kedro run --env=shop",
    ):
        assert printed in ended.output
    assert sorted(file.name for file in (project / "conf/shop").iterdir()) == ["globals.yml", "parameters.yml"]
    written = (project / "conf/shop/parameters.yml").read_text(encoding="utf-8")
    assert "15 queries and no GPU: small-data (encoder)" in written.replace("a GPU", "no GPU")
    assert yaml.safe_load(written)["encoder_recipe"] == yaml.safe_load(written)["decoder_recipe"] == "auto"
    again = call("init-data", shop, "--name", "shop")
    assert again.exit_code == 1
    assert "--overwrite" in again.output
    assert call("init-data", shop, "--name", "shop", "--overwrite").exit_code == 0


def test_images_behind_urls_are_to_be_downloaded_first(project, shop):
    (shop / "items.csv").write_text(
        "id,title,tags,image\n" + "".join(f"{n},shoe {n},a|b,http://x.example/{n}.png\n" for n in range(20)),
        encoding="utf-8",
    )
    said = call("init-data", shop, "--name", "shop").output
    assert 0 < said.find("--pipeline=image_download") < said.find("--pipeline=study")


def test_a_dry_run_writes_nothing(project, shop):
    assert call("init-data", shop, "--dry-run", "--query-text", "title", "--query-text", "tags").exit_code == 0
    assert not (project / "conf/mine").exists()


def test_a_folder_inside_the_project_is_named_relative_to_it(project, shop):
    shop.rename(project / "raw")
    assert call("init-data", "raw").exit_code == 0
    assert 'data_root: "raw"' in (project / "conf/mine/globals.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("signs", "written"), [((), ["", ","]), (("", "|"), ["", "|"]), ((",",), ",")])
def test_several_columns_of_labels_are_named_by_repeating_the_option(project, shop, signs, written):
    table = "id;title;group;marks\n" + "".join(
        f"{i:03d};a text of {i};g {i % 2};m {i % 3}, n {i % 5}\n" for i in range(30)
    )
    (shop / "items.csv").write_text(table, encoding="utf-8")
    options = [word for sign in signs for word in ("--label-separators", sign)]
    ended = call("init-data", shop, "--name", "shop", "--query-labels", "group", "--query-labels", "marks", *options)
    assert ended.exit_code == 0, ended.output
    data = yaml.safe_load((project / "conf/shop/parameters.yml").read_text(encoding="utf-8"))["data"]
    queries = data["mapping"]["queries"]
    assert (queries["labels"], queries["label_separators"]) == (["group", "marks"], written)


def test_a_mistake_is_a_message_and_no_traceback(project, shop):
    ended = call("init-data", shop, "--query-id", "nr")
    assert (ended.exit_code, type(ended.exception)) == (1, SystemExit)
    assert "no column `nr`" in ended.output
    assert "Proposed for" in ended.output  # what was guessed is shown before the check fails
    assert not (project / "conf/mine").exists()


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = call("init-data", tmp_path)
    assert ended.exit_code == 1
    assert "inside the project's folder" in ended.output + str(ended.exception)


def test_without_a_command_the_commands_are_listed(capsys, monkeypatch):
    assert "init-data" in call().output
    monkeypatch.setattr(sys, "argv", ["vixml", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "init-data" in capsys.readouterr().out


def test_run_is_kedros_with_all_its_options(project, shop):
    assert call("init-data", shop, "--name", "shop").exit_code == 0
    command = ("python", "-m", "vixml", "run")
    assert "--only-missing-outputs" in run_command(*command, "--help", folder=project).stdout
    options = ("--env=shop", "--pipelines=ingestion", "--params", "data.validation_fraction=0.1")
    ended = run_command(*command, *options, folder=project)
    assert ended.returncode == 0, ended.stderr
    assert (project / "data/03_primary/shop/dataset/items_label.parquet").is_file()
    missing = run_command(*command, "--pipelines=ingestion", folder=project)
    assert missing.returncode == 1
    assert "vixml init-data FOLDER" in " ".join(missing.stdout.split() + missing.stderr.split())


def test_settings_come_with_their_origins(project):
    ended = call("settings", "encoder_text", "--params", "encoder.training.epochs=7", "--json")
    assert ended.exit_code == 0, ended.output
    found = {setting["name"]: (setting["value"], setting["origin"]) for setting in json.loads(ended.stdout)}
    assert found["encoder_text.training.epochs"] == (7, "command line")
    assert found["encoder_text.optim.lr"] == (0.001, "recipe demo")
    assert found["encoder_text.optim.eps"] == (1e-6, "default")
    assert {name.partition(".")[0] for name in found} == {"encoder_text"}
    table = call("settings", "vision").output
    assert re.search(r"vision\.model +\"tiny\" +recipe demo", table)
    assert "seed" in call("settings").output


def test_settings_take_an_environment_and_name_mistakes(project):
    (project / "conf/mine").mkdir()
    (project / "conf/mine/parameters.yml").write_text("seed: 9\n", encoding="utf-8")
    assert re.search(r"seed +9 +file conf/mine/parameters\.yml", call("settings", "--env", "mine").output)
    assert "did you mean `encoder_text`" in call("settings", "encoder_txt").output
    assert "did you mean `encoder.training`" in call("settings", "--params", "encoder.trainin.epochs=3").output
    assert "cannot be read" in call("settings", "--params", "encoder").output


def test_an_installed_package_runs_in_any_folder_with_a_configuration(tmp_path, repository):
    """As `python -m vixml run` after `kedro package` and the installation of its wheel."""
    sizes = {"num_train": 8, "num_test": 4, "num_labels": 8, "labels_per_family": 6, "image_pixels": 16}
    size = ",".join(f"fabrication.{name}={value}" for name, value in sizes.items())
    words = ["python", "-m", "vixml", "run", "--pipelines=fabrication", "--params", size]
    outside = run_command(*words, folder=tmp_path)
    assert outside.returncode == 1
    assert "--conf-source=FOLDER" in outside.stderr
    ended = run_command(*words, f"--conf-source={repository / 'conf'}", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list((tmp_path / "data/01_raw/demo").glob("lbl.json*"))


def test_a_current_folder_that_was_removed_is_a_sentence(tmp_path):
    body = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); sys.argv[:] = ['vixml', 'settings']; "
        "from vixml.commands import main; main()"
    )
    ended = run_command("python", "-c", body, folder=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == "vixml: the current folder was removed; change to another one.\n"


def test_kedro_too_says_that_the_current_folder_was_removed(tmp_path, repository):
    """Kedro looks for the project in the current folder before it reads any of it, but calls `kedro.init` first."""
    declared = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["entry-points"]["kedro.init"]
    metadata = tmp_path / "installed" / "probe-0.1.dist-info"  # the package may be installed from before
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 0.1\n")
    lines = [f"{name} = {place}" for name, place in declared.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[kedro.init]", *lines, ""]))
    body = (
        f"import os, sys; sys.path.insert(0, {str(metadata.parent)!r}); os.mkdir('gone'); os.chdir('gone'); "
        "os.rmdir('../gone'); sys.argv[:] = ['kedro', 'run']; from kedro.framework.cli import main; main()"
    )
    words = [sys.executable, "-c", body]  # a process that was forked knows the installed packages already
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "vixml: the current folder was removed; change to another one."
    assert "Traceback" not in ended.stderr
