"""What the source must never contain: loaders that run code, shells, and archives extracted unchecked."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "vixml"
FILES = sorted(SOURCE.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "tarfile"}
FORBIDDEN_CALLS = {
    *("eval", "exec", "os.system", "os.popen", "torch.jit.load", "yaml.load", "yaml.unsafe_load"),
    *("pd.read_pickle", "pandas.read_pickle", "shutil.unpack_archive", "tempfile.mktemp"),
}
FORBIDDEN_METHODS = {"extractall", "to_pickle", "read_pickle"}


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def faults(text: str) -> list[str]:
    """Return what is forbidden in a source text."""
    tree, found = ast.parse(text), []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"line {node.lineno}: import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
    for call, name in calls(tree):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        wrong = (
            name in FORBIDDEN_CALLS
            or name.rpartition(".")[2] in FORBIDDEN_METHODS
            or options.get("trust_remote_code", "False") != "False"
            or options.get("shell", "False") != "False"
            or options.get("allow_pickle", "False") != "False"
            or options.get("weights_only", "True") != "True"
            or options.get("verify", "True") == "False"
            or (name == "torch.load" and "weights_only" not in options)
            or (name in {"np.load", "numpy.load"} and "allow_pickle" not in options)
        )
        if wrong:
            found.append(f"line {call.lineno}: {ast.unparse(call)[:80]}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_source_is_free_of_it(file):
    assert faults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "AutoModel.from_pretrained(n, trust_remote_code=True)",
        "AutoModel.from_pretrained(n, trust_remote_code=params.trust)",
        "subprocess.run(c, shell=True)",
        "archive.extractall(folder)",
        "httpx.get(url, verify=False)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_looks_for(text):
    assert faults(text)


def test_safe_calls_pass():
    assert not faults("np.load(f, allow_pickle=False); model.eval(); subprocess.run([a]); f.load(x)")
