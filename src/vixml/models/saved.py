"""Looking at a saved model before anything is built of it: its folder may come from anybody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vixml.core.errors import StateError
from vixml.core.guards.untrusted import REMEDY, opening, read_document

_LARGEST = 10_000_000  # of any whole number in a configuration: positions, words, widths
_LAYERS = 2_000  # of layers, heads, experts, each of which is a Python object
_MANY = ("layers", "layer", "heads", "experts", "blocks", "depth")
_DROPPED = ("auto_map", "quantization_config", "_name_or_path", "dtype", "torch_dtype")
_DEPTH = 60  # parentheses of a pattern
_PATTERN = 5_000
_SECONDS = 60

# Patterns of GPT-2, Llama 3, Qwen 2 and 3: in wide use, so not tried first.
_KNOWN = frozenset(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+",
    }
)

_TRIAL = """
import sys
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding()
tokenizer.no_truncation()
for word in ("a", "ab", " ", "1", "-", "\\u00e9", "\\u4e00", "a ", "a1-", "\\n"):
    tokenizer.encode((word * 20_000)[:20_000])
    tokenizer.encode((word * 20_000)[:19_999] + "!")
print("fine")
"""


def read_config(file: Path) -> dict[str, Any]:
    """Read the configuration of a backbone, without what is ours to choose: attention, kernels, code, quantisation.

    Raises:
        StateError: Malformed, or a number in it is beyond every model.
    """
    facts = read_document(file)
    for name, value in _numbers(facts):
        many = name.rpartition("_")[2] in _MANY or "num_hidden" in name
        if abs(value) > (_LAYERS if many else _LARGEST):
            raise StateError("the configuration asks for too much", file=file, found=f"{name}: {value}", remedy=REMEDY)
    if not isinstance(facts.get("model_type"), str):
        raise StateError("the configuration names no model_type", file=file, remedy=REMEDY)
    cleaned: dict[str, Any] = _without_choices(facts)
    return cleaned


def _without_choices(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_choices(below)
            for key, below in value.items()
            if key not in _DROPPED and not str(key).removesuffix("_internal").endswith("_implementation")
        }
    return [_without_choices(below) for below in value] if isinstance(value, list) else value


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _numbers(below, str(key))
    elif isinstance(value, list):
        for below in value:
            yield from _numbers(below, name)
    elif isinstance(value, int) and "token_id" not in name:
        yield name, value


def weight_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of a safetensors file, from its header.

    Raises:
        StateError: Malformed, or of numbers that are no floats.
    """
    from safetensors import safe_open

    shapes = {}
    with opening(file), safe_open(str(file), framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - no mapping
            part = weights.get_slice(name)
            shapes[name] = tuple(int(size) for size in part.get_shape())
    return shapes


def check_tokenizer(file: Path) -> None:
    """Look at a `tokenizer.json` before the library does: some of them end the process, or never come to an end.

    A tokenizer with patterns of its own is tried in a process of its own first.

    Raises:
        StateError: Malformed, or it does not come through the trial.
    """
    facts = read_document(file)
    for part in ("padding", "truncation"):
        if any(abs(value) > _LARGEST for _, value in _numbers(facts.get(part))):
            raise StateError(f"the tokenizer's {part} is too long", file=file, found=facts[part], remedy=REMEDY)
    patterns = set(_patterns([facts.get("pre_tokenizer"), facts.get("normalizer"), facts.get("decoder")]))
    for pattern in patterns:
        depth = max((pattern[:place].count("(") - pattern[:place].count(")") for place in _places(pattern)), default=0)
        if len(pattern) > _PATTERN or depth > _DEPTH:
            raise StateError("a pattern of the tokenizer is too long or too deep", file=file, remedy=REMEDY)
    if patterns - _KNOWN:
        _try(file)


def _places(pattern: str) -> Iterator[int]:
    return (place + 1 for place, sign in enumerate(pattern[:_PATTERN]) if sign == "(")


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key == "Regex" and isinstance(below, str):
                yield below
            yield from _patterns(below)
    elif isinstance(value, list):
        for below in value:
            yield from _patterns(below)


def _try(file: Path) -> None:
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-c", _TRIAL, str(file)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        found = None if ended.returncode == 0 else (ended.stderr.strip() or f"exit code {ended.returncode}")
    except subprocess.TimeoutExpired:
        found = f"no end after {_SECONDS} s"
    if found is not None:
        raise StateError(
            "the tokenizer does not get over a text of 20,000 characters", file=file, found=found[-200:], remedy=REMEDY
        )


def drop_foreign_attention(config: Any) -> Any:
    """Return a configuration of transformers that names no attention of a hub: code from there is never fetched."""
    for part in (config, *(value for value in vars(config).values() if hasattr(value, "_attn_implementation"))):
        for name in ("_attn_implementation", "_experts_implementation"):
            if "/" in json.dumps(getattr(part, name, None)):
                setattr(part, name, None)
    return config
