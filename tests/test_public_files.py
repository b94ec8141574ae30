"""What a stranger's tools read: the workflow has targets that exist, templates and citation what readers require."""

from __future__ import annotations

import re
import tomllib

import yaml
from tests.conftest import REPOSITORY

GITHUB = REPOSITORY / ".github"


def read(name: str) -> dict:
    return yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))


def test_the_workflow_runs_targets_that_exist() -> None:
    """On Python versions that the package allows, for at least one of them all tests."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    jobs = read(".github/workflows/test.yml")["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert {words.split()[0] for words in commands} == {"make"}
    assert {words.split()[1] for words in commands} <= targets
    assert {"make test", "make test-lowest"} <= set(commands)
    versions = [v for job in jobs for v in job.get("strategy", {}).get("matrix", {}).get("python", ["3.11"])]
    required = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert required == ">=3.11"
    assert all(tuple(map(int, version.split("."))) >= (3, 11) for version in versions)


def test_templates_and_citation_have_what_their_readers_require() -> None:
    """Forms have a name, a description and a body; the citation names the version that is built."""
    for file in (GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"):
        form = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= form.keys(), file.name
        assert all({"type", "id", "attributes"} <= field.keys() for field in form["body"]), file.name
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_the_lock_names_versions_and_hashes_and_no_registry():
    """`make lock` writes it from constraints.txt; whoever installs from it chooses the registry."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"https?:|file:|@ |--(?:extra-)?index|--find-links", text) == []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    heads = [re.fullmatch(r"([a-z0-9._-]+)==(\S+)( ; .+)? \\", line) for line in lines if not line.startswith(" ")]
    hashes = [line for line in lines if line.startswith(" ")]
    assert all(heads)
    assert [line for line in hashes if not re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?", line)] == []
    locked = {head[1]: head[2] for head in heads if head}
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    tested = dict(
        line.split("==")
        for line in (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").split()
        if "==" in line
    )
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    assert {"torch", "kedro", "mlflow", "kedro-viz", "pytest"} <= locked.keys()


def test_dependabot_watches_what_is_there() -> None:
    """Python packages and the actions of the workflow."""
    updates = read(".github/dependabot.yml")["updates"]
    assert {entry["package-ecosystem"] for entry in updates} == {"pip", "github-actions"}
