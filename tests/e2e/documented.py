"""The commands of README and docs in the order in which they are tried, and the rows of reproduce.md that are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FIRST = REPOSITORY / "docs" / "tutorials" / "first_run.md"
_PAGES = sorted((REPOSITORY / "docs").rglob("*.md"), key=lambda page: page.name)
PAGES = [FIRST, REPOSITORY / "README.md", *(page for page in _PAGES if page != FIRST)]
"""First the page that trains the demo's models, which the others ask."""
REPRODUCE = "reproduce.md"
Command = tuple[str, str]
"""A page's name and a command of it."""

NAMES = {"vixml init-data", "vixml serve", "vixml run", "vixml export", "vixml export-mlflow", "mlflow models serve"}
"""What a sentence says of a program without what the program must be told."""


def documented(pages: list[Path]) -> list[Command]:
    """Return (page, command) of the `bash` blocks' lines and the `python` blocks, then of those within sentences.

    Each distinct one once, in order. Within sentences those with a gap to fill in are left out.
    """
    found: dict[str, str] = {}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for language, block in re.findall(r"```(bash|python)\n(.*?)```", text, flags=re.DOTALL):
            if language == "python":
                found.setdefault(shlex.join(["python", "-c", block]), page.name)
                continue
            for line in block.replace("\\\n", " ").replace(".venv/bin/", "").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    found.setdefault(shlex.join(words), page.name)
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for command in re.findall(r"`((?:kedro|make|mlflow|pip|python|vixml)\s[^`]+)`", text):
            gap = re.search(r"\.\.\.|=$|=\s|\b[A-Z]{4,}\b", command)
            if not gap and " ".join(command.split()) not in NAMES:
                found.setdefault(shlex.join(shlex.split(command)), page.name)
    return [(page, command) for command, page in found.items()]


def parts_of(command: str) -> set[tuple[str, str]]:
    """Return what a row of reproduce.md tries: pairs of its data set, pipeline and recipe, and each setting of its own.

    `tests/test_reproduce.py` checks every row's settings; what they do in a run depends on no more than two of these.
    """
    words = shlex.split(command)
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--") and "=" in word)
    given = words[words.index("--params") + 1].split(",") if "--params" in words else []
    settings = dict(setting.split("=", 1) for setting in given)
    recipe = next((f"{name}={value}" for name, value in settings.items() if name.endswith("_recipe")), "")
    pipeline = f"{options['pipeline']} {options.get('namespaces', '')}"
    if (
        options["pipeline"] == "ablation"
    ):  # pipelines.md runs the pipeline as a whole, and each objective in its own test
        return {("ablation", options["env"])}
    own = {f"{name}={value}" for name, value in settings.items() if not name.endswith("_recipe") and name != "run_name"}
    tried = {(pipeline, setting) for setting in own}
    if options["pipeline"] == "evaluation":  # the model's own data set and recipe were tried where it was trained
        return tried
    return {(options["env"], pipeline), (pipeline, recipe), *tried}


def trained_first(commands: Iterable[Command]) -> list[Command]:
    """Put each row of reproduce.md that only evaluates right behind the one that trains its model."""
    row = re.compile(r"(kedro run --env=\w+) --pipeline=evaluation --namespaces=(\w+) --params (\w+=([\w.-]+)),")
    evaluations = {
        f"{found[1]} --pipeline={found[2]} --params {found[3]},run_name={found[4]}": command
        for _, command in commands
        if (found := row.match(command))
    }
    ordered = []
    for page, command in commands:
        if not row.match(command):
            ordered.append((page, command))
            trained = next((start for start in evaluations if f"{command},".startswith(f"{start},")), None)
            if trained is not None:
                ordered.append((page, evaluations.pop(trained)))
    assert not evaluations, "nothing trains these"
    return ordered


def covering(commands: list[Command]) -> list[Command]:
    """Return the rows of reproduce.md that together try all that any row tries; other commands stay.

    From the last row backwards, one is left out where the remaining ones try all of its parts; a row that trains stays
    where one that evaluates its model does.
    """
    row = re.compile(r"kedro run --env=\w+ --pipeline=(encoder|decoder|evaluation|ablation)")
    rows = [command for page, command in commands if page == REPRODUCE and row.match(command)]
    times: dict[tuple[str, str], int] = {}
    for command in rows:
        for part in parts_of(command):
            times[part] = times.get(part, 0) + 1
    left: set[str] = set()
    following = ""
    for command in reversed(rows):
        needed = "--pipeline=evaluation" in following and following not in left
        following = command
        if not needed and all(times[part] > 1 for part in parts_of(command)):
            left.add(command)
            for part in parts_of(command):
                times[part] -= 1
    return [(page, command) for page, command in commands if command not in left]


COMMANDS = covering(trained_first(documented(PAGES)))
CHAINS = {
    "reproduce": [entry for entry in COMMANDS if entry[0] == REPRODUCE],
    "others": [entry for entry in COMMANDS if entry[0] != REPRODUCE],
}
"""Commands that build on one another; the chains do not, each has a project of its own."""
