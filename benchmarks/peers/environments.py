"""An environment of its own for each peer: made once, kept beside the results."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

NEEDS: dict[str, tuple[str, ...]] = {
    "xr_linear": ("numpy<2", "scipy<1.14", "scikit-learn<1.6", "setuptools<81"),
    "bi_encoder": ("sentence-transformers>=6,<7", "datasets", "accelerate"),
}
"""Peer -> what is installed for it, with all that it depends on."""

ALONE: dict[str, tuple[str, ...]] = {"xr_linear": ("libpecos==1.2.8",)}
"""Peer -> what is installed without its dependencies: PECOS' torch and transformers are not for XR-Linear."""

BORROWS = ("bi_encoder",)
"""Peers that find the libraries of this environment (torch, transformers) instead of installing them again."""


def python_of(peer: str, folder: Path) -> Path:
    """Return the interpreter of a peer's environment, which is made where it is missing.

    Args:
        peer: One of `NEEDS`.
        folder: Where the environments lie.
    """
    target, alone = folder / peer, ALONE.get(peer, ())
    python, done, what = target / "bin" / "python", target / "installed", "\n".join([*NEEDS[peer], *alone])
    if done.is_file() and done.read_text(encoding="utf-8") == what:
        return python
    venv.EnvBuilder(with_pip=True, clear=True).create(target)
    if peer in BORROWS:
        own = next((target / "lib").glob("python*/site-packages"))
        (own / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *NEEDS[peer]], check=True)
    if alone:
        subprocess.run([*install, "--no-deps", *alone], check=True)
    done.write_text(what, encoding="utf-8")
    return python


def run_peer(peer: str, folder: Path, environments: Path) -> None:
    """Let a peer learn and rank.

    Args:
        peer: One of `NEEDS`.
        folder: What `exchange.write_inputs` wrote.
        environments: Where the environments lie.

    Raises:
        CalledProcessError: It failed; what it printed stands above.
    """
    script = Path(__file__).with_name(f"{peer}.py")
    subprocess.run([str(python_of(peer, environments)), str(script), str(folder)], check=True, stdout=sys.stderr)
