"""README and the pages for a start: every `kedro run` and `make` in them names what exists; README is short."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.cli.utils import _split_params

from vixml.config import ProjectConfigLoader
from vixml.configuration.compose import ALL_VARIANTS, check_keys
from vixml.params.data.ingestion import DataParams, FabricationParams
from vixml.params.data.vision import VisionParams
from vixml.params.evaluation import EvaluationParams
from vixml.params.variant import VariantParams
from vixml.pipeline_registry import register_pipelines
from vixml.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = [README, *(file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs" / "tutorials").glob("*.md")))]
TEXTS += [(ROOT / "docs" / "reference" / "pipelines.md").read_text(encoding="utf-8")]
BLOCKS = [block for text in TEXTS for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)]
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.strip()]
COMMANDS = [shlex.split(line, comments=True) for line in LINES]
RUNS = [words for words in COMMANDS if words[0].endswith("kedro")]
MAKES = [words for words in COMMANDS if words[0] == "make"]


def _parameters(text: str) -> dict[str, Any]:
    return dict(_split_params(None, None, text))  # as the command line reads it


def test_there_are_commands() -> None:
    """The patterns above still find what they look for."""
    assert len(RUNS) >= 6
    assert len(MAKES) >= 3


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_kedro_command(words: list[str], project: Path) -> None:
    """Its pipelines are registered and its parameters pass every check that stands before a run."""
    assert words[1] == "run"
    options = " ".join(words[2:])
    for names in re.findall(r"--pipelines?[= ](\S+)", options):
        assert set(names.split(",")) <= set(register_pipelines())
    texts = [words[i + 1] for i, word in enumerate(words) if word == "--params"]
    given = _parameters(texts[0]) if texts else {}
    loader = ProjectConfigLoader(str(project / "conf"), runtime_params=given, **CONFIG_LOADER_ARGS)
    parameters = loader["parameters"]
    check_keys(parameters)
    for name in ALL_VARIANTS:
        VariantParams.model_validate(parameters[name])
    for section, model in (
        ("data", DataParams),
        ("fabrication", FabricationParams),
        ("vision", VisionParams),
        ("evaluation", EvaluationParams),
    ):
        model.model_validate(parameters[section])


@pytest.mark.parametrize("words", MAKES, ids=" ".join)
def test_make_target(words: list[str]) -> None:
    """The target is in the Makefile."""
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    """The first screen says what it is; everything else is in the documentation."""
    assert len(README.splitlines()) < 150
    first = "\n".join(README.splitlines()[:45])
    assert all(part in first for part in ("<picture>", "make run", "| data | method |", "docs/tutorials/own_shop.md"))
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_every_named_page_exists() -> None:
    """Code, settings and messages that send a reader to a page of docs/ name one that is there."""
    named = {}
    for folder in ("src", "conf", "tests", "benchmarks", ".github"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".yml", ".md", ".html"}:
                for page in re.findall(r"\bdocs/[\w/-]+\.md", file.read_text(encoding="utf-8")):
                    named.setdefault(page, file.name)
    for file in ROOT.glob("*.md"):
        named |= dict.fromkeys(re.findall(r"\bdocs/[\w/-]+\.md", file.read_text(encoding="utf-8")), file.name)
    assert len(named) > 10
    assert {page: file for page, file in named.items() if not (ROOT / page).is_file()} == {}
