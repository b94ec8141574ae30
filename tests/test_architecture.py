"""The house as it stands: what the files of `src/vixml` import, wherever in a file the import is written.

Imports inside functions count, and those under `TYPE_CHECKING` too: a file that names another's class in a signature
cannot be understood without it, and a circle of two files is one circle to its reader whenever it is closed.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

MOST_FILES = 14
"""Files directly in one room: as many as a reader takes in at a glance."""


def module_of(file: Path, source: Path) -> str:
    """Return the dotted name of a file under `source`; a package's `__init__.py` is the package."""
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """Return the modules among `modules` that a file imports; `from package import module` is the module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else str(node.module))
    return found & modules


def read_imports(package: Path) -> dict[str, set[str]]:
    """Return the modules of a package, each with those of the same package that it imports."""
    files = {module_of(file, package.parent): file for file in package.rglob("*.py")}
    names = set(files)
    return {name: imported(ast.parse(file.read_text(encoding="utf-8")), names) - {name} for name, file in files.items()}


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Return a circle of modules, or nothing."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as err:
        return list(err.args[1])
    return []


def read_layers(pyproject: Path) -> list[tuple[list[str], bool]]:
    """Return the layers of the contract from the top, each with whether its rooms may import each other (`:`)."""
    contracts = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (lines,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [([room.strip() for room in line.replace(":", "|").split("|")], ":" in line) for line in lines]


def against_the_layers(imports: dict[str, set[str]], layers: list[tuple[list[str], bool]]) -> list[str]:
    """Return `importer -> imported` of every import that runs upwards, or between siblings that must not know."""
    place = {room: (level, room, free) for level, (rooms, free) in enumerate(layers) for room in rooms}

    def place_of(module: str) -> tuple[int, str, bool] | None:
        names = module.split(".")
        return next((place[n] for i in range(len(names), 0, -1) if (n := ".".join(names[:i])) in place), None)

    wrong = []
    for module, others in imports.items():
        for other in others:
            above, below = place_of(module), place_of(other)
            if above is None or below is None or above[1] == below[1]:
                continue
            if above[0] > below[0] or (above[0] == below[0] and not above[2]):
                wrong.append(f"{module} -> {other}")
    return sorted(wrong)


@pytest.fixture(scope="module")
def imports(repository: Path) -> dict[str, set[str]]:
    """The imports among this project's files."""
    return read_imports(repository / "src" / "vixml")


def test_no_circle_among_files(imports: dict[str, set[str]]) -> None:
    """A file can be read when those it imports are: there is a first one."""
    assert len(imports) > 150
    assert circle(imports) == []


def test_imports_run_downwards_alone(imports: dict[str, set[str]], repository: Path) -> None:
    """As the contract of import-linter in pyproject.toml declares; siblings know each other only where it says so."""
    layers = read_layers(repository / "pyproject.toml")
    assert against_the_layers(imports, layers) == []


def test_every_room_has_its_layer(imports: dict[str, set[str]], repository: Path) -> None:
    """A new folder or file beside the others has to say where it stands."""
    rooms = {".".join(module.split(".")[:2]) for module in imports} - {"vixml"}
    assert rooms == {room for rooms, _ in read_layers(repository / "pyproject.toml") for room in rooms}


def test_the_page_shows_the_rooms_in_their_order(repository: Path) -> None:
    """A row of the table in docs/explanation/design.md is a layer of the contract."""
    page = (repository / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
    table = page[page.index("| layer | packages |") :].split("\n\n")[0].splitlines()[2:]
    shown = [re.findall(r"`(\w+)(?:/|\.py)`", row) for row in table]
    layers = read_layers(repository / "pyproject.toml")
    assert shown == [[room.removeprefix("vixml.") for room in rooms] for rooms, _ in layers]


def test_no_room_is_crowded(repository: Path) -> None:
    """Pipelines aside, which Kedro wants one beside the other."""
    source = repository / "src" / "vixml"
    files = defaultdict(list)
    for file in source.rglob("*.py"):
        files[file.parent.relative_to(source).as_posix()].append(file.name)
    crowded = {room: len(names) for room, names in files.items() if len(names) > MOST_FILES}
    assert crowded == {}


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"a/x.py": "import house.b.y", "b/y.py": ""}, []),
        ({"a/x.py": "", "b/y.py": "def f():\n    from house.a import x"}, ["house.b.y -> house.a.x"]),
        (
            {
                "a/x.py": "",
                "b/y.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.a.x import T",
            },
            ["house.b.y -> house.a.x"],
        ),
        ({"b/y.py": "from house.c.z import name", "c/z.py": ""}, ["house.b.y -> house.c.z"]),
        ({"d/p.py": "import house.e.q", "e/q.py": ""}, []),
    ],
    ids=["downwards", "upwards-in-a-function", "upwards-for-types", "siblings", "free-siblings"],
)
def test_what_the_rule_catches(tmp_path: Path, files: dict[str, str], wrong: list[str]) -> None:
    """A house of two or three files."""
    for name, content in files.items():
        file = tmp_path / "house" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    layers = [(["house.a"], False), (["house.b", "house.c"], False), (["house.d", "house.e"], True)]
    assert against_the_layers(read_imports(tmp_path / "house"), layers) == wrong


def test_a_circle_is_found(tmp_path: Path) -> None:
    """Even one that is closed inside a function."""
    (tmp_path / "house").mkdir()
    for name, content in {"x": "import house.y", "y": "def f():\n    import house.z", "z": "import house.x"}.items():
        (tmp_path / "house" / f"{name}.py").write_text(content, encoding="utf-8")
    assert set(circle(read_imports(tmp_path / "house"))) == {"house.x", "house.y", "house.z"}
